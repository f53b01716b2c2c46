"""Servers of the event benchmarks' own under var/, durable like production's, and Django on top of them."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VAR_DIR = ROOT / "var" / "bench-events"


@contextmanager
def world() -> Iterator[dict[str, str]]:
    """Inside it Django is set up on empty tables; gives the environment variables for processes that are to join."""
    from flagship import embedded  # noqa: PLC0415 - the environment is set around it

    VAR_DIR.mkdir(parents=True, exist_ok=True)
    variables = {
        "DJANGO_SETTINGS_MODULE": "flagship.settings",
        "FLAGSHIP_VAR_DIR": str(VAR_DIR),
        "DATABASE_URL": embedded.database_url(VAR_DIR),
        "REDIS_URL": embedded.redis_url(VAR_DIR),
        "REDIS_PREFIX": "bench",
        "SECRET_KEY": "benchmark",
        "LOG_LEVEL": "WARNING",
    }
    os.environ.update(variables)
    with embedded.session(VAR_DIR):
        import django  # noqa: PLC0415 - after the environment

        django.setup()
        from django.core.management import call_command  # noqa: PLC0415 - after setup
        from django.db import connections  # noqa: PLC0415 - likewise

        call_command("migrate", verbosity=0)
        empty()
        try:
            yield {**os.environ, **variables}
        finally:
            # The next part's servers are other ones.
            connections.close_all()


def empty() -> None:
    from django.db import connection  # noqa: PLC0415 - after setup

    from analytics.pipeline.brokers import redis as stream  # noqa: PLC0415 - likewise
    from analytics.stores import store  # noqa: PLC0415 - likewise

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE exposures, conversions, first_exposures, exposure_phases, flag_exposure_hours, flag_units, "
            "flag_unit_hours, flag_unit_days, flag_day_steps, flag_day_folds, event_dead_letters, cohort_changes, "
            "cohort_sizes, cohort_sums, cohort_pairs, cohort_segments, cohort_distributions, "
            "conversion_days, unit_segments, segment_days, experiment_flags"
        )
    stream.client().delete(stream.key())
    store().forget()


def machine() -> str:
    software = f"Python {platform.python_version()}, PostgreSQL 18, Redis 6.2"
    return f"{software}, {os.cpu_count()} cores, load average at the end {os.getloadavg()[1]:.1f}"


def report(marker: str, lines: list[str]) -> None:
    """Replace what stands between the marker's comments in RESULTS.md, or append it."""
    path = ROOT / "benchmarks" / "RESULTS.md"
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    block = "\n".join([begin, *lines, end])
    text = path.read_text() if path.exists() else "# Results\n"
    if begin in text and end in text:
        head, rest = text.split(begin, 1)
        text = head + block + rest.split(end, 1)[1]
    else:
        text = text.rstrip() + "\n\n" + block + "\n"
    path.write_text(text)
    print("\n".join(lines))
    sys.stdout.flush()
