"""`manage.py export_hours`: events of past hours to object storage, as the schedule exports those that come."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.arguments import moment
from analytics.services import hourly_exports
from flagship.event_export import export_again, export_events_by_hour
from integrations.export.cursors import LeaseLostError
from integrations.outside.bucket import BucketError
from tenancy.errors import ServiceError


class Command(BaseCommand):
    help = (
        "Export events to EVENTS_EXPORT_URL by the hour in which they were received (needs requirements-parquet.txt). "
        "Without --since, what the schedule would export now."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=moment, help="From the hour of this day or instant (UTC) on, again.")
        parser.add_argument("--until", type=moment, help="Before the hour of this day or instant; by default all.")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not settings.EVENTS_EXPORT_URL:
            raise CommandError("Set EVENTS_EXPORT_URL, as s3://bucket/prefix.")
        if options["since"] is None:
            self.stdout.write(f"Exported {export_events_by_hour(seconds=float('inf')):,} events.")
            return
        end = hourly_exports.settled_hour()
        if options["until"] is not None:
            end = min(end, hourly_exports.hour_of(options["until"]))
        try:
            for hour in range(hourly_exports.hour_of(options["since"]), end):
                counts = {table: export_again(table, hour) for table in hourly_exports.TABLES}
                at = datetime.fromtimestamp(hour * 3600, UTC)
                told = ", ".join(f"{count:,} {table}" for table, count in counts.items())
                self.stdout.write(f"{at:%Y-%m-%d %H:00}: {told}")
        except (BucketError, LeaseLostError, ServiceError, OSError) as error:
            raise CommandError(str(error)) from error
