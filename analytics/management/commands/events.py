"""`manage.py events …`: dead letters, retention, partitions, bots found later, and event policies."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from analytics import services
from analytics.enrichment.attributes import DEFAULT_NAMES
from analytics.management.arguments import positive
from analytics.models import DeadLetter, EventPolicy
from analytics.pipeline import dead_letters
from analytics.pipeline.brokers.base import BrokerAwayError, BrokerFullError
from analytics.stores.postgres import partitions
from audit.actors import system
from tenancy.errors import ServiceError
from tenancy.models import Environment


class Command(BaseCommand):
    help = "Look after the events that are stored, and those that could not be."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_subparsers(dest="what", required=True)
        letters = what.add_parser("dead-letters", help="What could not be stored: see, send again, throw away.")
        letters.add_argument("action", choices=["list", "retry", "discard"])
        letters.add_argument("ids", nargs="*", type=int, help="Dead letters by id; with --all, every one.")
        letters.add_argument("--all", action="store_true", help="Every dead letter.")
        letters.add_argument("--limit", type=positive, default=50, help="How many to list.")
        retention = what.add_parser("retention", help="Let raw events go that are older than they are kept.")
        retention.add_argument("--dry-run", action="store_true", help="Say what would go, and let nothing go.")
        policy = what.add_parser("policy", help="How one environment's events are kept; without options: say it.")
        policy.add_argument("environment", help="organization/project/environment")
        policy.add_argument("--retention-days", type=int, help="0 for the installation's own.")
        policy.add_argument("--pseudonyms", action="store_true", help="From now on, and for good.")
        policy.add_argument(
            "--attributes", help="Kept with exposures: names with commas between them, none, or default."
        )
        what.add_parser("partitions", help="Make the partitions of the next weeks.")
        what.add_parser("reclassify", help="Flag all raw events anew after the bots' patterns changed.")
        what.add_parser("find-bots", help="Find units that go too fast, as the task does every 15 minutes.")

    def handle(self, *_args: Any, **options: Any) -> None:
        match options["what"]:
            case "dead-letters":
                self._dead_letters(options)
            case "retention":
                steps = services.apply_retention(actor=system("retention"), dry_run=options["dry_run"])
                self._lines(steps, nothing="No raw event is older than it is kept.")
            case "policy":
                self._policy(options)
            case "partitions":
                self._lines(partitions.create_ahead(), nothing="The next weeks' partitions are there already.")
            case "reclassify":
                self._reclassify()
            case _:
                self._lines(services.find_fast_bots(), nothing="No unit goes too fast.")

    def _lines(self, found: Iterable[object], *, nothing: str) -> None:
        self.stdout.write("\n".join(map(str, found)) or nothing)

    def _policy(self, options: dict[str, Any]) -> None:
        organization, project, key = [*options["environment"].split("/"), "", ""][:3]
        environment = Environment.objects.filter(
            project__organization__slug=organization, project__key=project, key=key
        ).first()
        if environment is None:
            raise CommandError(f"There is no environment {options['environment']}.")
        policy = EventPolicy.objects.filter(environment=environment).first() or EventPolicy(environment=environment)
        days, attributes = options["retention_days"], options["attributes"]
        if days is not None or attributes is not None or options["pseudonyms"]:
            try:
                policy = services.set_event_policy(
                    actor=system("events policy"),
                    environment=environment,
                    retention_days=policy.retention_days if days is None else days or None,
                    stores_pseudonyms=options["pseudonyms"] or policy.pseudonym_key is not None,
                    exposure_attributes=policy.exposure_attributes if attributes is None else _names(attributes),
                )
            except (ServiceError, ValidationError) as refusal:
                raise CommandError(str(refusal)) from refusal
        days = policy.retention_days or settings.RAW_EVENT_RETENTION_DAYS
        names: Sequence[str] = DEFAULT_NAMES if policy.exposure_attributes is None else policy.exposure_attributes
        self.stdout.write(f"Raw events: {days} days")
        self.stdout.write(f"Users: {'as pseudonyms' if policy.pseudonym_key is not None else 'by their ids'}")
        self.stdout.write(f"Attributes of the server's exposures: {', '.join(names) or 'none'}")

    def _reclassify(self) -> None:
        with tqdm(unit="partition", disable=None) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            flagged, unflagged = services.reclassify_bots(progress)
        self.stdout.write(f"{flagged:,} events are bots' now, {unflagged:,} are no longer.")

    def _dead_letters(self, options: dict[str, Any]) -> None:
        if options["action"] == "list":
            self._list(options["ids"], options["limit"])
            return
        if not options["ids"] and not options["all"]:
            raise CommandError("Name the dead letters by id, or say --all.")
        ids = None if options["all"] else options["ids"]
        unknown = set(ids or ()) - set(DeadLetter.objects.filter(pk__in=ids or ()).values_list("pk", flat=True))
        if unknown:
            raise CommandError(f"There is no dead letter {', '.join(map(str, sorted(unknown)))}; nothing was done.")
        if options["action"] == "discard":
            self.stdout.write(f"Discarded {dead_letters.discard(ids)}.")
            return
        try:
            self.stdout.write(f"Sent {dead_letters.retry(ids)} again.")
        except (BrokerAwayError, BrokerFullError) as error:
            raise CommandError(f"Not all were sent: {error}") from error

    def _list(self, ids: list[int], limit: int) -> None:
        rows = DeadLetter.objects.filter(pk__in=ids) if ids else DeadLetter.objects.all()
        for row in rows[:limit]:
            self.stdout.write(f"{row.pk}  {row.received_at:%Y-%m-%d %H:%M:%S}  {row.kind}  {row.reason}")
        self.stdout.write(f"{rows.count()} dead letters.")


def _names(text: str) -> list[str] | None:
    if text == "default":
        return None
    return [] if text == "none" else [name.strip() for name in text.split(",")]
