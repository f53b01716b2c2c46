"""Simulate a design, or check the tests on a project's own data."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from experiments.design.simulations import Forecast, check_null, forecast
from experiments.models import Experiment
from experiments.selectors import environment_at, get_metric
from experiments.statistics.simulation import Outcome
from tenancy.errors import ServiceError


class Command(BaseCommand):
    help = (
        "Simulate a design (power, false positives, the day it stops), or with --check-null split a flag's own users "
        "at random and count false alarms."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        design = parser.add_argument_group("a design")
        design.add_argument("--users-per-day", type=int, default=1_000)
        design.add_argument("--days", type=int, default=14)
        design.add_argument("--baseline", type=float, default=0.10, help="The control's rate, or its mean with --sd.")
        design.add_argument("--lift", type=float, default=0.10, help="Relative: 0.1 is a change by a tenth.")
        design.add_argument("--sd", type=float, help="Standard deviation per user, for a mean instead of a rate.")
        design.add_argument("--method", choices=Experiment.Method.values, help="All of them when left out.")
        design.add_argument("--treatment-share", type=float, default=0.5)
        null = parser.add_argument_group("a project's own data")
        null.add_argument("--check-null", metavar="FLAG", help="Split this flag's users at random instead.")
        null.add_argument("--metric", help="The metric to test.")
        null.add_argument("--environment", default="acme/web/production", help="organization/project/environment")
        parser.add_argument("--alpha", type=float, default=0.05)
        parser.add_argument("--replications", type=int, help="10,000 for a design, 1,000 for own data.")
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, **options: Any) -> None:
        try:
            if options["check_null"]:
                self._check_null(options)
            else:
                self._forecast(options)
        except ServiceError as refusal:
            raise CommandError(str(refusal)) from refusal

    def _forecast(self, options: dict[str, Any]) -> None:
        methods = [options["method"]] if options["method"] else Experiment.Method.values
        names = ("users_per_day", "days", "baseline", "lift", "sd", "alpha", "treatment_share", "seed")
        self.stdout.write(f"{'method':<16}{'power':>8}{'stops on day':>14}{'false positives':>17}{'claimed/true':>14}")
        for method in methods:
            found = forecast(
                method=method,
                replications=options["replications"] or 10_000,
                **{name: options[name] for name in names},
            )
            true_effect = options["baseline"] * options["lift"]
            self.stdout.write(_line(method, found, true_effect))
            if options["method"]:
                self._days(found.with_effect)

    def _days(self, outcome: Outcome) -> None:
        self.stdout.write("\nStops (share of runs with the effect):")
        for day, share in enumerate(outcome.stop_days, start=1):
            self.stdout.write(f"  day {day:>3} {share:>7.1%} {'█' * round(share * 100)}".rstrip())

    def _check_null(self, options: dict[str, Any]) -> None:
        if not options["metric"]:
            raise CommandError("Name the metric to test: --metric purchase-rate")
        environment = environment_at(options["environment"])
        found = check_null(
            environment,
            options["check_null"],
            get_metric(environment.project, options["metric"]),
            days=options["days"],
            replications=options["replications"] or 1_000,
            alpha=options["alpha"],
            seed=options["seed"],
        )
        verdict = "as promised" if found.is_healthy else "MORE than promised: do not trust tests of this metric"
        self.stdout.write(
            f"{found.users} users, split at random {found.replications} times: {found.rate:.1%} of the splits looked "
            f"different at alpha {found.alpha:g} (simulation error {found.simulation_error:.1%}): {verdict}."
        )


def _line(method: str, found: Forecast, true_effect: float) -> str:
    power, null = found.with_effect, found.without
    exaggerated = ""
    if power.mean_claimed_effect is not None and true_effect:
        exaggerated = f"{power.mean_claimed_effect / true_effect:.2f}"
    return (
        f"{method:<16}{power.right_direction_rate:>8.1%}{power.mean_stop_day:>14.1f}{null.claim_rate:>17.1%}"
        f"{exaggerated:>14}"
    )
