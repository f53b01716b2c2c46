"""Events from HTTP to rows, in parts of their own: `python -m benchmarks.ingest [PART…] [--seconds 300]`.

alone: the ingest against COPY's ceiling. fresh: how soon rows are visible at 5,000/s. sustained: 20,000/s with
evaluations beside. logging: what logging exposures costs an evaluation. outages: what it notices of a server away.
"""

import argparse
from collections.abc import Callable

from benchmarks.ingest import alone, evaluate, rates
from benchmarks.world import events_world, machine, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="All of them, if none is named.")
    parser.add_argument("--seconds", type=float, default=300, help="How long each rate is held.")
    parser.add_argument("--rate", type=int, default=20_000, help="Events a second, for `sustained`.")
    parser.add_argument("--fresh-rate", type=int, default=5_000, help="Events a second, for `fresh`.")
    parser.add_argument("--evaluations", type=int, default=200, help="Evaluations a second beside and in outages.")
    parser.add_argument("--events", type=int, default=500_000, help="For `alone`.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round-seconds", type=float, default=10, help="Of a round of `logging` and `outages`.")
    parser.add_argument("--processes", type=int, default=1, help="Ingest processes beside the web.")
    options = parser.parse_args()
    parts: dict[str, tuple[str, Callable[[dict[str, str]], list[str]]]] = {
        "alone": (
            "The ingest alone",
            lambda variables: alone.measure(options.events, options.rounds, variables),
        ),
        "fresh": (
            "How fresh the rows are",
            lambda variables: rates.fresh(options.fresh_rate, options.seconds, variables, options.processes),
        ),
        "sustained": (
            "A sustained rate",
            lambda variables: rates.sustained(
                options.rate, options.seconds, variables, options.processes, options.evaluations
            ),
        ),
        "logging": (
            "What logging costs an evaluation",
            lambda variables: evaluate.logging(options.rounds, options.round_seconds, variables),
        ),
        "outages": (
            "What an evaluation notices of an outage",
            lambda variables: evaluate.outages(options.rounds, options.round_seconds, options.evaluations, variables),
        ),
    }
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    for name in options.parts or parts:
        title, measure = parts[name]
        with events_world() as variables:
            lines = measure(variables)
        where = f"{machine()}; PostgreSQL with fsync, Redis with its append-only file."
        report(f"ingest-{name}", [f"## Events: {title[0].lower()}{title[1:]}", "", where, "", *lines])
