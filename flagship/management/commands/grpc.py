"""`manage.py grpc`: flagd's evaluation service and FlagShip's own over gRPC; run several behind a proxy for more."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Serve gRPC until told to stop; open streams are then ended, and their callers connect again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.GRPC_HOST, help="GRPC_HOST, 127.0.0.1")
        parser.add_argument("--port", type=int, default=settings.GRPC_PORT, help="GRPC_PORT, 8013")

    def handle(self, *_args: Any, **options: Any) -> None:
        # No other process loads gRPC.
        from flagship.serving.rpc.process import serve  # noqa: PLC0415

        try:
            serve(options["host"], options["port"])
        except OSError as error:
            raise CommandError(str(error)) from error
