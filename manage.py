#!/usr/bin/env python
"""Django's command line; on the embedded default it holds the servers open for as long as the command runs."""

import os
import sys
from contextlib import ExitStack

# Commands that touch no server, so that linting a fresh clone does not start a database.
SERVERLESS = {"help", "version", "--help", "--version", "collectstatic", "spectacular"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")
    from django.core.management import execute_from_command_line  # noqa: PLC0415 - settings must be named first

    from flagship import embedded  # noqa: PLC0415 - likewise

    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    with ExitStack() as stack:
        if command not in SERVERLESS:
            from django.conf import settings  # noqa: PLC0415 - likewise

            if settings.EMBEDDED:
                try:
                    stack.enter_context(embedded.session(settings.VAR_DIR))
                except embedded.EmbeddedError as error:
                    sys.exit(f"flagship: {error}")
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
