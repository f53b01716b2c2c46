"""Events from HTTP to rows, in parts of their own: `python -m benchmarks.ingest [PART…] [--seconds 300]`.

alone: the ingest against COPY's ceiling. fresh: how soon rows are visible at 5,000/s. sustained: 20,000/s with
evaluations beside. logging: what logging exposures costs an evaluation. outages: what it notices of a server away.
"""

import argparse
from collections.abc import Callable

from benchmarks import ingest_alone, ingest_evaluate, ingest_rates
from benchmarks.events_world import machine, report, world


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
            lambda variables: ingest_alone.measure(options.events, options.rounds, variables),
        ),
        "fresh": (
            "How fresh the rows are",
            lambda variables: ingest_rates.fresh(options.fresh_rate, options.seconds, variables, options.processes),
        ),
        "sustained": (
            "A sustained rate",
            lambda variables: ingest_rates.sustained(
                options.rate, options.seconds, variables, options.processes, options.evaluations
            ),
        ),
        "logging": (
            "What logging costs an evaluation",
            lambda variables: ingest_evaluate.logging(options.rounds, options.round_seconds, variables),
        ),
        "outages": (
            "What an evaluation notices of an outage",
            lambda variables: ingest_evaluate.outages(
                options.rounds, options.round_seconds, options.evaluations, variables
            ),
        ),
    }
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    for name in options.parts or parts:
        title, measure = parts[name]
        with world() as variables:
            lines = measure(variables)
        where = f"{machine()}; PostgreSQL with fsync, Redis with its append-only file."
        report(f"ingest-{name}", [f"## Events: {title[0].lower()}{title[1:]}", "", where, "", *lines])


if __name__ == "__main__":
    main()
