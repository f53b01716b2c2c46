"""`manage.py simulate`: use the running installation as a service would, and report what was sent and what arrived."""

import secrets
import threading
import time
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from analytics.management.arguments import positive
from flagship.demo import access, content
from flagship.demo.traffic import Api, Plan, Sent, TrafficError, drive

_POLL_SECONDS = 0.5


def rates(text: str) -> dict[str, float]:
    """Read `control=0.10,treatment=0.14`."""
    found = {}
    for part in text.split(","):
        variant, _, rate = part.partition("=")
        try:
            found[variant.strip()] = float(rate)
        except ValueError:
            raise ArgumentTypeError(f"{part!r} is not variant=rate, such as control=0.10") from None
        if not variant.strip() or not 0 <= found[variant.strip()] <= 1:
            raise ArgumentTypeError(f"{part!r}: a rate lies between 0 and 1")
    return found


class Command(BaseCommand):
    help = "Send users and their conversions through the HTTP API of a running installation (var/demo.json names it)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--users", type=positive, default=1_000)
        parser.add_argument("--conversion", type=rates, default=rates("control=0.10,treatment=0.14"))
        parser.add_argument("--flag", default=content.FLAG)
        parser.add_argument("--event", default=content.EVENT)
        parser.add_argument("--seed", help="The same seed sends the same users again; they count once.")
        parser.add_argument("--workers", type=positive, default=4, help="Requests at the same time.")
        parser.add_argument("--wait", type=positive, default=30, help="Seconds for what was sent to arrive (30).")

    def handle(self, **options: Any) -> None:
        known = access.read_or_refuse()
        plan = Plan(
            users=options["users"],
            rates=options["conversion"],
            flag_key=options["flag"],
            event_name=options["event"],
            seed=options["seed"] or secrets.token_hex(4),
            workers=options["workers"],
        )
        service = Api(known["baseUrl"], known["serverKey"], connections=plan.workers)
        manager = Api(known["baseUrl"], known["managementToken"], tenant=known["organization"])
        where = {"project": known["project"], "environment": known["environment"]}
        try:
            _refuse_unknown(plan, manager.get(f"flags/{plan.flag_key}", where)["variants"])
            experiment = _running_experiment(manager, where, plan.flag_key)
            before = _counts(manager, where, experiment)
            with tqdm(total=plan.users, unit="user", disable=None) as bar:
                sent = drive(service, plan, advance=bar.update)
            self._say_sent(plan, sent)
            if experiment is None:
                self.stdout.write(f"Nothing to compare with: no experiment is running on {plan.flag_key!r}.")
                return
            arrived = _arrived(manager, where, experiment, before=before, sent=sent, seconds=options["wait"])
            self._say_arrived(arrived, sent, options["wait"])
        except TrafficError as error:
            raise CommandError(str(error)) from error

    def _say_sent(self, plan: Plan, sent: Sent) -> None:
        self.stdout.write(f"Sent (seed {plan.seed}): {plan.users} evaluations of {plan.flag_key}")
        for variant in sorted(sent.users):
            self.stdout.write(f"  {variant}: {sent.users[variant]} users, {sent.conversions[variant]} conversions")
        if sent.outside:
            self.stdout.write(f"  {sent.outside} users were not in an experiment.")

    def _say_arrived(self, arrived: dict[str, tuple[int, int]], sent: Sent, seconds: int) -> None:
        self.stdout.write("Arrived in the experiment's results:")
        for variant, (users, conversions) in sorted(arrived.items()):
            self.stdout.write(f"  {variant}: {users} users, {conversions} conversions")
        if not _is_all_there(arrived, sent):
            self.stdout.write(
                f"Not everything arrived as new within {seconds} s: users and conversions that were sent "
                "with this seed before count once, and other metrics or a paused experiment do not show these."
            )


def _refuse_unknown(plan: Plan, variants: list[dict[str, Any]]) -> None:
    known = [variant["key"] for variant in variants]
    unknown = [name for name in plan.rates if name not in known]
    if unknown:
        raise CommandError(f"{plan.flag_key} has no variant {', '.join(unknown)}; it has {', '.join(known)}.")


def _running_experiment(manager: Api, where: dict[str, str], flag_key: str) -> str | None:
    found = manager.get("experiments", {**where, "flagKey": flag_key, "status": "running"})["results"]
    return found[0]["id"] if found else None


def _counts(manager: Api, where: dict[str, str], experiment: str | None) -> dict[str, tuple[int, int]]:
    if experiment is None:
        return {}
    variants = manager.get(f"experiments/{experiment}/results", where)["variants"]
    return {row["key"]: (row["users"], row["conversions"] or 0) for row in variants}


def _arrived(
    manager: Api,
    where: dict[str, str],
    experiment: str,
    *,
    before: dict[str, tuple[int, int]],
    sent: Sent,
    seconds: int,
) -> dict[str, tuple[int, int]]:
    """Return what the results have more than before. It asks until that is what was sent, or until time is up."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        now = _counts(manager, where, experiment)
        arrived = {
            key: (users - before.get(key, (0, 0))[0], conversions - before.get(key, (0, 0))[1])
            for key, (users, conversions) in now.items()
        }
        if _is_all_there(arrived, sent) or time.monotonic() > deadline:
            return arrived
        pause.wait(_POLL_SECONDS)


def _is_all_there(arrived: dict[str, tuple[int, int]], sent: Sent) -> bool:
    return all(
        arrived.get(variant, (0, 0)) == (users, sent.conversions[variant]) for variant, users in sent.users.items()
    )
