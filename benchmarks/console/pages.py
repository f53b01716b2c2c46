"""Every page of the console at size, timed on the server: `python -m benchmarks.console [--flags N] [--events N]`.

Each page is asked for by Django's test client (no network, no browser), as an owner, first with few flags and then with
all of them: a page may take 300 ms, and may not ask the database more often because there is more to show.
"""

import argparse
import os
import re
import statistics
import time
from collections.abc import Container
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from benchmarks.many_flags import add_flags
from benchmarks.world import ROOT, empty_servers, machine, report

VAR_DIR = ROOT / "var" / "bench-console"
LIMIT_MS = 300
DAYS = 14
FEW = 60
# With more than that to do on two cores, a page waits for its turn.
_QUIET_LOAD = 2.0
_BUSY = (
    "Other work held the machine's processors meanwhile: the second column is what each page cost, the first how long "
    "it took with the waiting."
)
KILL_ALL = "kill every flag, asked"
FIGURES = "its figures"
# One unit in a hundred is a bot; times are spread over the fortnight.
_EXPOSURES = """
INSERT INTO exposures (
    evaluation_id, environment_id, flag_key, unit_id, variant, reason, experiment, config_version,
    occurred_at, received_at, source, is_bot
)
SELECT uuidv7(moment - now()), %(environment)s, 'new-checkout', 'user-' || unit,
       CASE WHEN unit %% 2 = 0 THEN 'control' ELSE 'treatment' END,
       'SPLIT', %(experiment)s, 1, moment, moment, 'bench', unit %% 100 = 3
FROM (
    SELECT number, number %% %(units)s AS unit,
           %(start)s + (hashint8(number) & 2147483647) / 2147483647.0 * interval '14 days' AS moment
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
) AS events ORDER BY moment
"""
_CONVERSIONS = """
INSERT INTO conversions (event_id, environment_id, unit_id, event_name, value, occurred_at, received_at, is_bot)
SELECT uuidv7(moment - now()), %(environment)s, 'user-' || unit, 'purchase', 10, moment, moment, unit %% 100 = 3
FROM (
    SELECT number, (hashint8(number * 31) & 2147483647) %% %(units)s AS unit,
           %(start)s + (hashint8(number + 1) & 2147483647) / 2147483647.0 * interval '14 days' AS moment
    FROM generate_series(1, %(conversions)s::bigint) AS number
) AS events ORDER BY moment
"""
_HOURS = """
INSERT INTO flag_exposure_hours (environment_id, flag_key, hour, variant, reason, exposures, bots)
SELECT environment_id, flag_key, date_trunc('hour', occurred_at, 'UTC') AS hour, variant, reason,
       count(*) FILTER (WHERE NOT is_bot), count(*) FILTER (WHERE is_bot)
FROM exposures GROUP BY environment_id, flag_key, hour, variant, reason
"""


class Figures(NamedTuple):
    """Of one page: milliseconds on the clock and on this process's processor, and how often it asks the database."""

    ms: float
    processor_ms: float
    queries: int


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--flags", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--units", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="Print, and leave RESULTS.md as it is.")
    options = parser.parse_args()
    with empty_servers(VAR_DIR, fsync=False, LOG_LEVEL="ERROR"):
        (VAR_DIR / "static").mkdir()
        place = _begin()
        _add_flags(place, 0, FEW)
        few = _measure(place | {"pages": 2}, rounds=1)
        _add_flags(place, FEW, options.flags)
        _add_events(place, options)
        first_day = _measure(place | {"pages": 2}, rounds=options.rounds, only={FIGURES})[FIGURES]
        _store_nightly(place)
        many = _measure(place | {"pages": options.flags // 50}, rounds=options.rounds)
    lines = _lines(options, few, many, first_day)
    if options.dry:
        print("\n".join(lines))
    else:
        report("console", lines)


def _begin() -> dict[str, Any]:
    """An organization, its owner, a flag with rules, an experiment that has run for a fortnight, and their kin."""
    from audit.actors import system  # noqa: PLC0415 - after setup
    from experiments import services as experiments  # noqa: PLC0415 - likewise
    from flags import services as flags  # noqa: PLC0415 - likewise
    from tenancy import services  # noqa: PLC0415 - likewise
    from tenancy.models import User  # noqa: PLC0415 - likewise

    actor = system("benchmark")
    user = User.objects.create(username="bench", is_staff=True)
    organization = services.create_organization(actor=actor, slug="bench", name="Bench", owner=user)
    project = services.create_project(actor=actor, organization=organization, key="web", name="Web")
    environment = services.create_environment(
        actor=actor, project=project, key="production", name="Production", is_production=True
    )
    services.create_environment(actor=actor, project=project, key="staging", name="Staging")
    condition = {"attribute": "plan", "operator": "in", "value": ["pro", "team"]}
    config, _ = flags.create_flag(
        actor=actor,
        environment=environment,
        payload={
            "key": "new-checkout",
            "enabled": True,
            "rollout": [{"variant": "treatment", "percent": 50}],
            "rules": [{"priority": 10, "variant": "treatment", "conditions": [condition]}],
        },
    )
    metric = {"key": "purchase-rate", "type": "binary", "eventName": "purchase"}
    experiments.create_metric(actor=actor, environment=environment, payload=metric)
    content = {"name": "Checkout sells", "flagKey": "new-checkout", "primaryMetric": "purchase-rate"}
    experiment = experiments.create_experiment(actor=actor, environment=environment, payload=content)
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=DAYS)
    experiments.start_experiment(actor=actor, environment=environment, pk=experiment.pk, at=start)
    flags.create_segment(actor=actor, environment=environment, payload={"key": "beta", "included": ["ada"]})
    flags.create_layer(actor=actor, environment=environment, payload={"key": "checkout"})
    services.issue_credential(
        actor=actor, kind="server", name="shop", organization=organization, environment=environment
    )
    return {
        "user": user, "project": project, "environment": environment,
        "config": config, "experiment": experiment, "start": start,
    }  # fmt: skip


def _add_flags(place: dict[str, Any], first: int, count: int) -> None:
    """Flags like those a shop has, by COPY's nearest kin: bulk, without a log of their own."""
    from django.db import connection  # noqa: PLC0415 - after setup

    from flags.models import Flag, FlagConfig, Rule  # noqa: PLC0415 - likewise

    flags, configs = add_flags(place["project"], place["project"].environments.all(), range(first, count))
    condition = {"attribute": "plan", "operator": "in", "value": ["pro", "team"]}
    Rule.objects.bulk_create(
        Rule(config=config, priority=10, variant="treatment", conditions=[condition]) for config in configs
    )
    # Half of the flags have not changed for long, and so may be stale.
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    Flag.objects.filter(pk__in=[flag.pk for flag in flags[::2]]).update(updated_at=long_ago)
    FlagConfig.objects.filter(flag__in=[flag.pk for flag in flags[::2]]).update(updated_at=long_ago)
    with connection.cursor() as cursor:
        # As autovacuum would, within a minute of so many rows.
        cursor.execute("ANALYZE")


def _add_events(place: dict[str, Any], options: argparse.Namespace) -> None:
    """Four exposures to each conversion, in partitions and roll-ups as the ingest leaves them."""
    from django.db import connection  # noqa: PLC0415 - after setup

    from analytics.services import open_phase  # noqa: PLC0415 - likewise
    from analytics.stores.postgres import partitions  # noqa: PLC0415 - likewise
    from analytics.stores.postgres.partitions import Week  # noqa: PLC0415 - likewise

    start = place["start"]
    first, last = (Week.of_ms(int(at.timestamp() * 1000)).number for at in (start, start + timedelta(days=DAYS + 7)))
    for table in partitions.TABLES:
        for number in range(first, last + 1):
            partitions.create(table, Week(number))
    exposures = options.events * 4 // 5
    values = {
        "start": start, "units": options.units, "conversions": options.events - exposures,
        "environment": place["environment"].pk, "experiment": place["experiment"].key,
    }  # fmt: skip
    step = 1_000_000
    with connection.cursor() as cursor:
        cursor.execute("SET work_mem = '512MB'")
        for begin in range(1, exposures + 1, step):
            cursor.execute(_EXPOSURES, {**values, "first": begin, "last": min(begin + step - 1, exposures)})
            print(f"{min(begin + step - 1, exposures):,} exposures", flush=True)
        cursor.execute(_CONVERSIONS, values)
        cursor.execute(_HOURS)
        cursor.execute("RESET work_mem")
        # The phase was opened over no events, and asking again would change nothing: these came past the ingest.
        cursor.execute("DELETE FROM exposure_phases")
    open_phase(environment_id=place["environment"].pk, experiment=place["experiment"].key, started_at=start)
    with connection.cursor() as cursor:
        # In the order they came in, as the ingest leaves them: the index by time is about places in the table.
        cursor.execute("CREATE TEMPORARY TABLE arrived AS TABLE first_exposures")
        cursor.execute("TRUNCATE first_exposures")
        cursor.execute("INSERT INTO first_exposures SELECT * FROM arrived ORDER BY least(first_at, bot_at)")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT count(*) FROM first_exposures")
        (units,) = cursor.fetchone()
    if units != options.units:
        raise RuntimeError(f"The experiment has {units} units; {options.units} were exposed to it.")


def _store_nightly(place: dict[str, Any]) -> None:
    """What the clock has done by the second day: last night's results, and the sums they were worked out from."""
    from experiments.jobs.runs import store_nightly  # noqa: PLC0415 - after setup

    outcome = store_nightly(place["experiment"].pk)
    if not outcome.startswith("stored"):
        raise RuntimeError(f"The nightly job says: {outcome}")


def _pages(place: dict[str, Any]) -> dict[str, str]:
    from django.urls import reverse  # noqa: PLC0415 - after setup

    from audit.models import Entry  # noqa: PLC0415 - likewise
    from flags.models import Layer, Segment  # noqa: PLC0415 - likewise
    from tenancy.models import Membership  # noqa: PLC0415 - likewise

    config, experiment = place["config"].pk, place["experiment"].pk
    routes: dict[str, tuple[str, list[Any]]] = {
        "home": ("index", []),
        "flags": ("flags_flagconfig_changelist", []),
        "a flag": ("flags_flagconfig_change", [config]),
        "a flag's exposures": ("flags_flagconfig_exposures", [config]),
        "new flag": ("flags_flagconfig_add", []),
        "try it": ("flags_flagconfig_try", [config]),
        "kill": ("flags_flagconfig_kill", [config]),
        "kill by tag": ("flags_flagconfig_kill_tag", []),
        "attributes to suggest": ("flags_flagconfig_attributes", []),
        "who has heard": ("flags_flagconfig_kill_status", [config]),
        "history": ("flags_flagconfig_history", [config]),
        "environments side by side": ("flags_flagconfig_compare", [config]),
        "segments": ("flags_segment_changelist", []),
        "a segment": ("flags_segment_change", [Segment.objects.values_list("pk", flat=True)[0]]),
        "layers": ("flags_layer_changelist", []),
        "a layer": ("flags_layer_change", [Layer.objects.values_list("pk", flat=True)[0]]),
        "experiments": ("experiments_experiment_changelist", []),
        "an experiment": ("experiments_experiment_change", [experiment]),
        "its results": ("experiments_experiment_results", [experiment]),
        "decide": ("experiments_experiment_complete", [experiment]),
        "jobs": ("experiments_experiment_jobs", []),
        "simulate a design": ("experiments_experiment_simulate", []),
        "designer": ("experiments_experiment_add", []),
        "metrics": ("experiments_metric_changelist", []),
        "projects": ("tenancy_project_changelist", []),
        "environments": ("tenancy_environment_changelist", []),
        "members": ("tenancy_membership_changelist", []),
        "a member": ("tenancy_membership_change", [Membership.objects.values_list("pk", flat=True)[0]]),
        "keys and tokens": ("tenancy_credential_changelist", []),
        "audit log": ("audit_entry_changelist", []),
        "audit entry": ("audit_entry_change", [Entry.objects.values_list("pk", flat=True)[0]]),
    }
    pages = {name: reverse(f"admin:{route}", args=arguments) for name, (route, arguments) in routes.items()}
    return pages | {
        # Of so many users they come after the page, which asks for them.
        FIGURES: f"{pages['its results']}?part=figures",
        "flags, searched": f"{pages['flags']}?q=checkout+team-3",
        "kill by tag, its flags": f"{pages['kill by tag']}?tag=team-3",
        "flags, last page": f"{pages['flags']}?p={place['pages']}",
        KILL_ALL: pages["flags"],
        "search everywhere": f"{reverse('console_search')}?q=checkout",
    }


def _every_flag(place: dict[str, Any]) -> dict[str, str]:
    """What the list sends for the act Kill with all of its pages selected: it is asked about, not done."""
    return {"action": "kill_selected", "_selected_action": str(place["config"].pk), "select_across": "1"}


def _measure(place: dict[str, Any], *, rounds: int, only: Container[str] = ()) -> dict[str, Figures]:
    """Each page (of `only`, where given) once warm: medians of the rounds."""
    from django.db import connection  # noqa: PLC0415 - after setup
    from django.test import Client  # noqa: PLC0415 - likewise
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415 - likewise

    client = Client(raise_request_exception=False)
    client.force_login(place["user"], backend="tenancy.backends.ThrottledBackend")
    found = {}
    for name, address in _pages(place).items():
        if only and name not in only:
            continue
        ask = partial(client.post, address, _every_flag(place)) if name == KILL_ALL else partial(client.get, address)
        ask()
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
        found[name] = Figures(statistics.median(times), statistics.median(spent), asked)
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
        f"`python -m benchmarks.console --flags {options.flags} --events {options.events}`: two environments, one "
        f"experiment of {DAYS} days with {options.units:,} units; time on the server, median of {options.rounds} warm "
        f"requests. {machine()}.",
        "",
        f"Over {LIMIT_MS} ms: {', '.join(slow) or 'none'}. More queries than with {FEW} flags and no event: "
        f"{', '.join(growing) or 'none'}.",
        "",
        f"The experiment's sums are kept, as after any night. Without them, all {options.events:,} events as if on the "
        f"first day, its figures take {first_day.ms:.0f} ms; the page is there before them.",
        "",
        *([_BUSY, ""] if os.getloadavg()[0] > _QUIET_LOAD else []),
        f"| page | ms | of it on the web process's processor | queries | queries with {FEW} flags |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {page.ms:.0f} | {page.processor_ms:.0f} | {page.queries} | {few[name].queries} |"
            for name, page in many.items()
        ),
    ]
