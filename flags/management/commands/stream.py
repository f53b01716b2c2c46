"""`manage.py stream`: the process that holds the open streams; run several behind the proxy for more."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils.module_loading import import_string

from flags.streaming.server import serve


class Command(BaseCommand):
    help = "Serve streams until told to stop; clients are then told to come back, spread over a window."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.STREAM_HOST, help="STREAM_HOST, 127.0.0.1")
        parser.add_argument("--port", type=int, default=settings.STREAM_PORT, help="STREAM_PORT, 8001")

    def handle(self, *_args: Any, **options: Any) -> None:
        serve(import_string(settings.ASGI_APPLICATION), host=options["host"], port=options["port"])
