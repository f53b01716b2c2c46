"""`manage.py generate_events`: a reproducible load of events with known truth."""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from analytics.event_generator import Generator, Plan, default_start
from analytics.event_records import pack
from analytics.management.arguments import day, positive
from analytics.pipeline.brokers import broker
from analytics.pipeline.brokers.base import BrokerAwayError, BrokerFullError
from analytics.services import store_events
from tenancy.models import Environment

_FULL_WAIT_SECONDS = 0.2


class Command(BaseCommand):
    help = "Make events with a known truth, the same for the same seed, and print that truth as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--users", type=positive, default=10_000)
        parser.add_argument(
            "--events", type=positive, default=100_000, help="Different events; a tenth more are duplicates."
        )
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--environment", required=True, help="organization/project/environment")
        parser.add_argument("--flag", default="new-checkout")
        parser.add_argument("--experiment", default="generated", help="The experiment the exposures name.")
        parser.add_argument("--event-name", default="purchase")
        parser.add_argument("--days", type=positive, default=14)
        parser.add_argument("--start", type=day, help="First day (UTC), by default so that everything is over by now.")
        parser.add_argument("--to", choices=["stream", "store"], default="stream")

    def handle(self, *_args: Any, **options: Any) -> None:
        start, first = default_start(options["days"]), options["start"]
        if first is not None:
            start = start.replace(year=first.year, month=first.month, day=first.day)
        generator = Generator(
            Plan(
                environment_id=_environment(options["environment"]).pk,
                users=options["users"],
                events=options["events"],
                seed=options["seed"],
                start=start,
                days=options["days"],
                flag_key=options["flag"],
                experiment=options["experiment"],
                event_name=options["event_name"],
            )
        )
        with tqdm(total=options["events"], unit="event", disable=None) as progress:
            for batch in generator.batches():
                if options["to"] == "store":
                    store_events(batch)
                else:
                    _publish(pack(batch))
                progress.update(len(batch))
        self.stdout.write(json.dumps(generator.truth.as_dict(), indent=2))


def _environment(path: str) -> Environment:
    parts = path.split("/")
    if len(parts) != 3:
        raise CommandError("Name the environment as organization/project/environment.")
    organization, project, key = parts
    found = Environment.objects.filter(project__organization__slug=organization, project__key=project, key=key).first()
    if found is None:
        raise CommandError(f"There is no environment {path}.")
    return found


def _publish(packed: bytes) -> None:
    while True:
        try:
            broker().append([packed], patient=True)
        except BrokerFullError:
            time.sleep(_FULL_WAIT_SECONDS)
        except BrokerAwayError as error:
            raise CommandError(f"Redis is away: {error}") from error
        else:
            return
