"""What the benchmarks share: servers of their own under var/, Django on top, and a section each of RESULTS.md."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
PLOTS = ROOT / "benchmarks" / "plots"
EVENTS_DIR = ROOT / "var" / "bench-events"


def set_up_django(folder: Path, **more: str) -> dict[str, str]:
    """Point the environment at the embedded servers under `folder`, emptied before; gives the variables that did it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return _set_up(folder, more)


def _set_up(folder: Path, more: dict[str, str]) -> dict[str, str]:
    from flagship import embedded  # noqa: PLC0415 - the environment is set around it

    variables = {
        "DJANGO_SETTINGS_MODULE": "flagship.settings",
        "FLAGSHIP_VAR_DIR": str(folder),
        "DATABASE_URL": embedded.database_url(folder),
        "REDIS_URL": embedded.redis_url(folder),
        "REDIS_PREFIX": "bench",
        "SECRET_KEY": "benchmark-secret-key-of-no-consequence",
        "LOG_LEVEL": "WARNING",
        **more,
    }
    os.environ.update(variables)
    import django  # noqa: PLC0415 - after the environment

    django.setup()
    return variables


@contextmanager
def empty_servers(folder: Path, *, fsync: bool = True, **more: str) -> Iterator[dict[str, str]]:
    """Inside it new servers run under `folder`, migrated; gives the environment for processes that are to join."""
    variables = set_up_django(folder, **more)
    with _running(folder, fsync=fsync):
        yield {**os.environ, **variables}


@contextmanager
def events_world() -> Iterator[dict[str, str]]:
    """Servers of the event benchmarks, durable like production's; they stay from run to run, with empty tables."""
    EVENTS_DIR.mkdir(parents=True, exist_ok=True)
    variables = _set_up(EVENTS_DIR, {})
    with _running(EVENTS_DIR, fsync=True):
        from django.db import connections  # noqa: PLC0415 - after setup

        empty_events()
        try:
            yield {**os.environ, **variables}
        finally:
            # The next part's servers are other ones.
            connections.close_all()


@contextmanager
def _running(folder: Path, *, fsync: bool) -> Iterator[None]:
    from django.core.management import call_command  # noqa: PLC0415 - after setup

    from flagship import embedded  # noqa: PLC0415 - likewise

    with embedded.session(folder, fsync=fsync):
        call_command("migrate", verbosity=0)
        yield


def empty_events() -> None:
    from django.db import connection  # noqa: PLC0415 - after setup

    from analytics.pipeline.brokers import broker  # noqa: PLC0415 - likewise
    from analytics.stores import store  # noqa: PLC0415 - likewise

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE exposures, conversions, first_exposures, exposure_phases, flag_exposure_hours, "
            "flag_hour_sketches, flag_unit_days, flag_day_steps, flag_day_folds, event_dead_letters, cohort_changes, "
            "cohort_sizes, cohort_pairs, cohort_segments, cohort_distributions, "
            "conversion_days, unit_segments, segment_days, experiment_flags"
        )
    while found := [
        *broker().reclaim("emptying", limit=1000, idle_seconds=0),
        *broker().take("emptying", limit=1000, wait_seconds=0),
    ]:
        broker().done(found)
    store().forget()


def machine() -> str:
    software = f"Python {platform.python_version()}, PostgreSQL 18, Redis 6.2"
    return f"{software}, {os.cpu_count()} cores, load average at the end {os.getloadavg()[1]:.1f}"


def report(marker: str, lines: list[str]) -> None:
    """Print the lines, and put them between the marker's comments in RESULTS.md."""
    replace_section(marker, "\n".join(lines))
    print("\n".join(lines))
    sys.stdout.flush()


def replace_section(marker: str, text: str, path: Path = RESULTS) -> None:
    """Put `text` between the marker's comments, or at the end with them; every other section is left alone."""
    opens, closes = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    section = f"{opens}\n{text.strip()}\n{closes}"
    old = path.read_text() if path.exists() else "# Results\n"
    before, opened, rest = old.partition(opens)
    if not opened:
        path.write_text(f"{old.rstrip()}\n\n{section}\n")
        return
    _, closed, after = rest.partition(closes)
    if not closed:
        raise ValueError(f"{path.name} opens the section {marker} and never closes it")
    path.write_text(before + section + after)
