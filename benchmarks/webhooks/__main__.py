"""`python -m benchmarks.webhooks [--changes 10000] [--pairs 300]`: chaos, a dead receiver, and what a write costs."""

import argparse

from benchmarks.stack import refuse_another
from benchmarks.webhooks.chaos import chaos, dead_receiver
from benchmarks.webhooks.cost import cost
from benchmarks.world import ROOT, empty_servers, machine, report


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=40.0, help="Changes a second.")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--only", choices=["chaos", "dead", "cost"])
    options = parser.parse_args()
    refuse_another()
    lines = ["## Webhooks", "", "`python -m benchmarks.webhooks`."]
    with empty_servers(ROOT / "var" / "bench-webhooks", WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8") as variables:
        if options.only in {None, "cost"}:
            lines += ["", *cost(options.pairs)]
        if options.only in {None, "chaos"}:
            lines += ["", *chaos(variables, options.changes, options.rate)]
        if options.only in {None, "dead"}:
            lines += ["", *dead_receiver(variables)]
    lines.insert(2, f"{machine()}.")
    if options.only is None:
        report("webhooks", lines)
    else:
        print("\n".join(lines))


main()
