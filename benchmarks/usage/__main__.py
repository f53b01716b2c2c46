"""`python -m benchmarks.usage`: what counting which flags are asked for costs an evaluation, and the room it takes."""

from benchmarks.stack import refuse_another
from benchmarks.usage import evaluation, storage
from benchmarks.world import ROOT, empty_servers, machine, report


def main() -> None:
    refuse_another()
    with empty_servers(ROOT / "var" / "bench-usage"):
        head = [f"`python -m benchmarks.usage`. {machine()}.", ""]
        report("usage cost", ["## Usage: what counting costs an evaluation", "", *head, *evaluation.lines()])
        report("usage room", ["## Usage: a month of 10,000 flags", "", *head, *storage.lines()])


main()
