"""Every page of the console at size, timed on the server: `python -m benchmarks.console [--flags N] [--events N]`.

Each page is asked for by Django's test client (no network, no browser), as an owner, first with few flags and then with
all of them: a page may take 300 ms, and may not ask the database more often because there is more to show. The list of
pages is that of the tests, with what the pages' scripts fetch, so that a new page is measured without a line here.
"""

import argparse
import os
import re
import statistics
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from benchmarks.console import filling
from benchmarks.stack import refuse_another
from benchmarks.world import ROOT, empty_servers, machine, report

VAR_DIR = ROOT / "var" / "bench-console"
LIMIT_MS = 300
FEW = 100
# With more than that to do on two cores, a page waits for its turn.
_QUIET_LOAD = 2.0
_BUSY = (
    "Other work held the machine's processors meanwhile: the third column is what each page cost, the first two how "
    "long it took with the waiting."
)
KILL_ALL = "kill every flag, asked"
FIGURES = "its figures, which the page asks for"
# What scripts of a page fetch from the server; a person waits for it as for the page.
_FETCHED = ("exposures", "usage", "references", "lifecycle", "attributes", "kill_status")


class Figures(NamedTuple):
    """Of one page: milliseconds on the clock (median, worst), on this process's processor, and its queries."""

    ms: float
    worst_ms: float
    processor_ms: float
    queries: int


class Asked(NamedTuple):
    """An address, with what is sent to it, if it is not just looked at."""

    address: str
    sent: dict[str, str] | None = None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--flags", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--units", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="Measure pages whose name has this in it.")
    parser.add_argument("--dry", action="store_true", help="Print, and leave RESULTS.md as it is.")
    options = parser.parse_args()
    refuse_another()
    with empty_servers(VAR_DIR, fsync=False, LOG_LEVEL="ERROR", ALLOWED_HOSTS="testserver"):
        (VAR_DIR / "static").mkdir()
        start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=filling.DAYS)
        filling.make_partitions(start)
        world = _tenant(start)
        experiment, project = world.subjects["experiments_experiment"], world.subjects["tenancy_project"]
        filling.add_many_flags(project, range(FEW))
        few = _measure(world, _pages(world, FEW), rounds=1)
        filling.add_many_flags(project, range(FEW, options.flags))
        filling.add_events(experiment, start, events=options.events, units=options.units)
        pages = _pages(world, options.flags)
        first_day = _measure(world, {FIGURES: pages[FIGURES]}, rounds=1)[FIGURES]
        filling.store_nightly(experiment)
        found = {name: asked for name, asked in pages.items() if options.only in name}
        from openflagship.serving.interpreter import settle  # noqa: PLC0415 - after setup

        # As a web process does when it starts.
        settle()
        many = _measure(world, found, rounds=options.rounds)
    lines = _lines(options, few, many, first_day)
    if options.dry:
        print("\n".join(lines))
    else:
        report("console", lines)


def _tenant(start: datetime) -> Any:
    """The world of the tests of pages, with an experiment that has run for a fortnight, in twenty environments."""
    from audit.actors import system  # noqa: PLC0415 - after setup
    from flagship.tests.console_world import world_of  # noqa: PLC0415 - likewise
    from tenancy import services  # noqa: PLC0415 - likewise
    from tenancy.admin.testing import Tenant, signed_in  # noqa: PLC0415 - likewise
    from tenancy.models import User  # noqa: PLC0415 - likewise

    actor = system("benchmark")
    olga = User.objects.create(username="olga")
    organization = services.create_organization(actor=actor, slug="acme", name="Acme", owner=olga)
    project = services.create_project(actor=actor, organization=organization, key="web", name="Web")
    production = services.create_environment(
        actor=actor, project=project, key="production", name="Production", is_production=True
    )
    staging = services.create_environment(actor=actor, project=project, key="staging", name="Staging")
    filling.add_environments(project)
    client = signed_in(olga)
    client.raise_request_exception = False
    return world_of(Tenant(organization, project, production, staging), {"owner": client}, start)


def _pages(world: Any, flags: int) -> dict[str, Asked]:
    """Each page that its owner can look at, by the name that the tests give it."""
    from flagship.tests.console_pages import pages  # noqa: PLC0415 - after setup

    of_flag, of_experiment = "admin:flags_flagconfig_", "admin:experiments_experiment_"
    found = {
        state.name.removeprefix("admin:"): Asked(world.url(state.route, state.subject, **state.query))
        for state in pages()
        if state.sends is None and state.who == "owner" and state.status == 200
    }
    found |= {f"flags_flagconfig_{name} (fetched)": Asked(world.url(of_flag + name)) for name in _FETCHED}
    flags_list, tag = world.url(f"{of_flag}changelist"), {"tag": "team-3"}
    # It is asked about, not done: what the list sends for the act Kill with all of its pages selected.
    kill = {
        "action": "kill_selected",
        "_selected_action": str(world.subjects["flags_flagconfig"].pk),
        "select_across": "1",
    }
    return found | {
        "header's count of unread (fetched)": Asked(world.url("console_unread")),
        # Of so many users they come after the page, which asks for them.
        FIGURES: Asked(world.url(f"{of_experiment}results", part="figures")),
        "flags, searched": Asked(world.url(f"{of_flag}changelist", q="checkout team-3")),
        "flags of one stage": Asked(world.url(f"{of_flag}changelist", stage="ready_to_archive")),
        "flags, last page": Asked(world.url(f"{of_flag}changelist", p=flags // 50)),
        "kill by tag, its flags": Asked(world.url(f"{of_flag}kill_tag", **tag)),
        "search everywhere": Asked(world.url("console_search", q="checkout")),
        KILL_ALL: Asked(flags_list, kill),
    }


def _measure(world: Any, pages: dict[str, Asked], *, rounds: int) -> dict[str, Figures]:
    """Each page once warm: median and worst of the rounds."""
    from django.db import connection  # noqa: PLC0415 - after setup
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415 - likewise

    from flagship.tests.crawling import opened  # noqa: PLC0415 - likewise

    client, found = world.people["owner"], {}
    for name, (address, sent) in pages.items():
        whole, answer = opened(client, address)
        ask = partial(client.get, whole) if sent is None else partial(client.post, whole, sent)
        with CaptureQueriesContext(connection) as queries:
            answer = ask()
        asked = len(queries)
        if answer.status_code != 200:
            raise RuntimeError(f"{name} answers {answer.status_code}: {re.sub('<[^>]+>', ' ', answer.text)[:300]}")
        times, spent = [], []
        for _ in range(rounds):
            begun, used = time.perf_counter(), time.process_time()
            ask()
            times.append(1000 * (time.perf_counter() - begun))
            spent.append(1000 * (time.process_time() - used))
        found[name] = Figures(statistics.median(times), max(times), statistics.median(spent), asked)
        if found[name].ms > LIMIT_MS / 2:
            print(f"{name}: {found[name]}", flush=True)
    return found


def _lines(
    options: argparse.Namespace, few: dict[str, Figures], many: dict[str, Figures], first_day: Figures
) -> list[str]:
    slow = [name for name, page in many.items() if page.ms > LIMIT_MS]
    growing = [name for name, page in many.items() if page.queries > few[name].queries]
    return [
        "## The console at size",
        "",
        f"`python -m benchmarks.console --flags {options.flags} --events {options.events}`: {filling.ENVIRONMENTS} "
        f"environments, one experiment of {filling.DAYS} days with {options.units:,} units; time on the server, "
        f"of {options.rounds} warm requests. {machine()}.",
        "",
        f"{len(many)} pages, and what they fetch. Over {LIMIT_MS} ms: {', '.join(slow) or 'none'}. "
        f"More queries than with {FEW} flags and hardly an event: {', '.join(growing) or 'none'}.",
        "",
        f"The experiment's sums are kept, as after any night. Without them, all {options.events:,} events as if on the "
        f"first day, its figures take {first_day.ms:.0f} ms; the page is there before them.",
        "",
        *([_BUSY, ""] if os.getloadavg()[0] > _QUIET_LOAD else []),
        f"| page | median ms | worst ms | ms of the web process's processor | queries | queries with {FEW} flags |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {page.ms:.0f} | {page.worst_ms:.0f} | {page.processor_ms:.0f} | {page.queries} "
            f"| {few[name].queries} |"
            for name, page in many.items()
        ),
    ]
