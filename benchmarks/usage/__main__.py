"""`python -m benchmarks.usage`: what counting which flags are asked for costs an evaluation, and the room it takes."""

from benchmarks.stack import refuse_another
from benchmarks.usage import evaluation, storage
from benchmarks.world import ROOT, empty_servers, machine, report


def main() -> None:
    refuse_another()
    with empty_servers(ROOT / "var" / "bench-usage"):
        room = storage.lines()
        cost = evaluation.lines()
    head = ["## Usage: what counting costs", "", f"`python -m benchmarks.usage`. {machine()}.", ""]
    report("usage", [*head, "### An evaluation", "", *cost, "", "### A month of 10,000 flags", "", *room])


main()
