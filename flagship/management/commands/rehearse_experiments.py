"""`manage.py rehearse_experiments`: run four experiments with known truth, and show what is recommended for each."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from analytics.stores import store
from analytics.stores.clickhouse.store import ClickHouseStore
from audit.actors import system
from experiments.selectors import environment_at
from flagship.demo.rehearsal import SCENARIOS, Outcome, rehearse
from tenancy import services as tenancy
from tenancy.errors import ServiceError
from tenancy.models import Environment

_ACTOR = system("rehearsal")


class Command(BaseCommand):
    help = (
        "Run four experiments whose truth is known (a lift, lost users, a harmed guardrail, no difference) through the "
        "real services, events and jobs, and say what each was told. Leaves nothing behind unless --keep names where."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--keep", metavar="ENVIRONMENT", help="organization/project/environment to leave them in.")
        parser.add_argument("--users", type=_users, default=8_000, help="Of each experiment.")
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, **options: Any) -> None:
        kept = options["keep"]
        if not kept and isinstance(store(), ClickHouseStore):
            raise CommandError("ClickHouse takes no events back; name an environment to --keep them in.")
        try:
            with transaction.atomic():
                environment = environment_at(kept) if kept else _scratch()
                outcomes = [
                    rehearse(
                        scenario, actor=_ACTOR, environment=environment, users=options["users"], seed=options["seed"]
                    )
                    for scenario in SCENARIOS
                ]
                if not kept:
                    transaction.set_rollback(True)
        except ServiceError as refusal:
            raise CommandError(str(refusal)) from refusal
        finally:
            # The process may remember rows that the transaction has rolled back.
            store().forget()
        for outcome in outcomes:
            self._say(outcome)
        wrong = [outcome.scenario.key for outcome in outcomes if not outcome.is_right]
        if wrong:
            raise CommandError(f"Not what it deserves: {', '.join(wrong)}.")

    def _say(self, outcome: Outcome) -> None:
        (comparison,) = outcome.results["comparisons"]
        said = outcome.recommendation
        self.stdout.write(f"{outcome.scenario.key}: {outcome.scenario.truth}")
        self.stdout.write(
            f"  found      {comparison['absoluteLift']:+.1%} purchases, "
            f"interval {comparison['sequentialCi'][0]:+.1%} to {comparison['sequentialCi'][1]:+.1%}, "
            f"sample ratio p = {outcome.results['srm']['pValue']:.2g}"
        )
        self.stdout.write(f"  watched    {outcome.cycles[0]}, then {outcome.cycles[1]}; {outcome.experiment.status}")
        for alarm in outcome.alarms:
            self.stdout.write(f"  alarm      {alarm}")
        self.stdout.write(f"  told       {said['action']}: {said['text']}")
        self.stdout.write(f"  {'right' if outcome.is_right else 'WRONG'}")


def _users(text: str) -> int:
    if not text.isdigit() or not 1_000 <= int(text) <= 1_000_000:
        raise ArgumentTypeError("give 1,000 to 1,000,000 users")
    return int(text)


def _scratch() -> Environment:
    organization = tenancy.create_organization(actor=_ACTOR, slug="rehearsal", name="Rehearsal")
    project = tenancy.create_project(actor=_ACTOR, organization=organization, key="rehearsal", name="Rehearsal")
    return tenancy.create_environment(actor=_ACTOR, project=project, key="rehearsal", name="Rehearsal")
