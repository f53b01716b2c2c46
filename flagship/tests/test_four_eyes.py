"""With approvals on, no route, form, command or task changes what is served without what the policy asks."""

import ast
import json
import re
from datetime import UTC, datetime
from urllib.parse import urljoin

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.db import transaction

from approvals.operations import OPERATIONS
from approvals.selectors import policy_of
from approvals.services import create_freeze, set_policy
from experiments import services as experiments
from experiments.jobs import runs
from flags import services as flags
from flags.services import gate
from flags.versions.loading import load_document
from flagship.celery import app
from flagship.tests.console_pages import pages
from flagship.tests.crawling import Page, opened
from flagship.tests.source_files import ROOT
from flagship.tests.test_docs import APPS
from flagship.tests.test_permissions import BODIES, _served
from flagship.tests.writing_routes import ENROLLING, EXEMPT, HALF, SERVING, UNMOVING, UNSERVING
from rollouts import services as rollouts
from rollouts.executor import schedules
from rollouts.models import ScheduledChange
from tenancy.models import Environment
from tenancy.testing import ALICE

# Tasks and commands that write flags, and by which acts; the others write none.
WRITING_TASKS = {
    "approvals.publish_due": "the change requests that are due",
    "experiments.keep_schedule": "experiment.start and experiment.pause",
    "experiments.watch_experiment": "flag.kill and experiment.pause",
    "rollouts.work": "the steps of plans whose start was asked about, and flag.update by scheduled changes",
    "tenancy.run_privacy_jobs": "person.erase",
}
OTHER_TASKS = [
    "analytics.aggregate_flags", "analytics.apply_retention", "analytics.find_fast_bots", "analytics.fold_usage",
    "analytics.make_partitions", "audit.heads", "experiments.free_layer", "experiments.nightly",
    "experiments.schedule", "experiments.store_breakdowns", "experiments.store_nightly_results", "experiments.watch",
    "experiments.watch_splits", "experiments.watch_splits_of", "flags.look_after_flags", "flags.prune_version_log",
    "flags.publish_snapshots", "flags.purge_archived", "flagship.clear_sessions", "flagship.export_events",
    "integrations.deliver_webhooks", "integrations.look_for_webhooks", "integrations.notify", "integrations.prune",
    "integrations.stream_audit",
]  # fmt: skip
WRITING_COMMANDS = {"rehearse_experiments", "run", "screenshots", "seed_demo", "forget_user"}
OTHER_COMMANDS = [
    "audit_actions", "audit_heads", "check_pipeline", "event_types", "events", "export_events", "export_hours",
    "generate_events", "grpc", "ingest", "protect_audit", "simulate", "simulate_experiment", "stream",
    "verify_audit", "version_log",
]  # fmt: skip


def served():
    """What evaluators get anywhere, without the numbers of versions."""
    found = {}
    for environment in Environment.objects.order_by("pk"):
        document = load_document(environment.pk)
        for kind in ("flags", "segments"):
            for key, part in document[kind].items():
                found[environment.key, kind, key] = {**part, "version": 0}
    return found


def guard(*environments, **policy):
    for environment in environments:
        version = policy_of(environment).version
        set_policy(actor=ALICE, environment=environment, payload={"requiredApprovals": 1, **policy}, version=version)


def without(steps, others):
    return {step: what for step, what in steps.items() if step not in others}


@pytest.fixture
def made(environment, staging, make_flag):
    """One of each thing that a write can change."""
    where = {"actor": ALICE, "environment": environment}
    for key in ("a", "killed", "gone", "draft", "running", "paused"):
        make_flag(key, rollout=HALF, tags=["pay"] if key in {"a", "killed"} else [])
    flags.update_flag(**where, key="a", payload={"rollout": [{"variant": "treatment", "percent": 60}]}, version=1)
    flags.kill_flag(**where, key="killed")
    flags.archive_flag(**where, key="gone")
    flags.create_segment(**where, payload={"key": "s", "included": ["u"]})
    flags.create_layer(**where, payload={"key": "l"})
    experiments.create_metric(**where, payload={"key": "m", "type": "binary", "eventName": "m"})
    for key in ("draft", "running", "paused"):
        design = {"key": key, "name": key, "flagKey": key, "primaryMetric": "m", "trafficPercent": 50}
        draft = experiments.create_experiment(**where, payload=design)
        if key != "draft":
            experiments.start_experiment(**where, pk=draft.pk)
        if key == "paused":
            experiments.pause_experiment(**where, pk=draft.pk)
    plan = {"variant": "treatment", "steps": [{"percent": 60}, {"percent": 100, "approval": True}]}
    for key in ("planned", "stepped", "returned"):
        make_flag(key, rollout=HALF)
        rollouts.save_plan(**where, key=key, payload=plan)
        if key != "planned":
            rollouts.start_plan(**where, key=key)
    rollouts.rollback_plan(**where, key="returned")
    return environment


def test_routes__each_that_takes_something__is_known_to_serve_or_not():
    known = {tuple(line.split(" ", 1)) for line in re.split(r" · |\n", UNSERVING.strip())}
    taking = {(method, route) for method, route in _served() if method != "get"}

    assert sorted(taking - known - SERVING.keys() - ENROLLING.keys() - EXEMPT.keys()) == []
    assert sorted((known | SERVING.keys() | ENROLLING.keys() | EXEMPT.keys()) - taking) == []
    assert known.isdisjoint({*SERVING, *ENROLLING, *EXEMPT})


def sent(caller, method, path, body):
    query = {"project": "web"} if path.startswith("environments") else {"environment": "production"}
    with transaction.atomic():
        answer = caller.send(method, path, body, **query)
        after = served()
        transaction.set_rollback(True)
    return answer, after


def passing(caller, steps):
    """Send each, which passes and changes what is served."""
    before = served()
    for (method, route), (path, body) in steps.items():
        answer, after = sent(caller, method, path, body)
        assert answer.status_code < 300, f"{method} {route}: {answer.content}"
        assert after != before, f"{method} {route} changes nothing, so it proves nothing"


def refusals(caller, steps, code):
    """Send each, which is refused and changes nothing; yield its route and the refusal."""
    before = served()
    for (method, route), (path, body) in steps.items():
        answer, after = sent(caller, method, path, body)
        assert answer.status_code == 409, f"{method} {route}: {answer.status_code} {answer.content}"
        assert answer.json()["errors"][0]["code"] == code, f"{method} {route}: {answer.content}"
        assert after == before, f"{method} {route} changed what is served"
        yield route, answer.json()


def test_routes__that_serve__ask_for_approval_with_a_request_that_can_be_sent(made, staging, owner):
    before = served()
    passing(owner, without(SERVING, UNMOVING) | EXEMPT)
    guard(made, staging)

    for route, refusal in refusals(owner, SERVING | ENROLLING, "approval_required"):
        where = "staging" if route == "flags/{key}/copy" else "production"
        with transaction.atomic():
            proposed = owner.post("change-requests", refusal["changeRequest"], project="web", environment=where)
            assert served() == before, f"{route}: the proposal changed what is served"
            transaction.set_rollback(True)
        assert proposed.status_code == 201, f"{route}: {proposed.content}"
    passing(owner, EXEMPT)


def test_routes__that_serve__ask_by_their_impact_and_wait_in_a_freeze_without_policy(made, staging, owner):
    guard(made, staging, when={"impactPercent": 0.01})
    moving = without(SERVING, UNMOVING)
    assert len(list(refusals(owner, moving, "approval_required"))) == len(SERVING) - len(UNMOVING)
    passing(owner, without(SERVING, moving))

    guard(made, staging, requiredApprovals=0)
    create_freeze(actor=ALICE, place=made.project, payload={"name": "Holidays"})
    releases = {step: what for step, what in SERVING.items() if step[1].endswith("kill/release")}
    for route, refusal in refusals(owner, without(SERVING | ENROLLING, releases), "frozen"):
        assert refusal["changeRequest"]["changes"], f"{route}: {refusal}"
    passing(owner, releases | EXEMPT)


_FIRING = {"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "Errors"}, "fingerprint": "f"}]}


def test_routes__that_serve_nothing__change_nothing_that_is_served(made, staging, owner):
    owner.query = {"environment": "production"}
    change = {"resource": {"type": "flag", "key": "a"}, "patch": {"enabled": False}}
    request = owner.post("change-requests", {"title": "Off", "changes": [change]}).json()
    owner.put("notification-settings/email", {"mine": "daily"})
    change |= {"baseVersion": 2, "at": "2099-01-01T00:00:00Z"}
    scheduled = owner.post("scheduled-changes", change).json()
    trigger = owner.post("triggers", {"name": "errors", "flagKey": "a", "act": "switch_off_flag"}).json()
    guard(made, staging)
    before = served()
    fills = {
        "flags/{key}/rollout-plan": "flags/stepped/rollout-plan",
        "flags/{key}": "flags/a",
        "rollout-templates/{key}": "rollout-templates/daily",
        "only-ours": "a",
        "metrics/{key}": "metrics/m",
        "projects/{key}": "projects/web",
        "{key}": "production",
        "{environment_key}": "production",
        "{environment}": "production",
        "{channel}": "email",
        "{slug}": "acme",
        "{request_id}": request["id"],
        "{change_id}": scheduled["id"],
        "{trigger_id}": trigger["id"],
        "{token}": trigger["token"],
        "{pk}": "draft",
        "{project}": "web",
    }
    unknown, made_up = [], "0190a1b2-0000-7000-8000-000000000001"
    for line in re.split(r" · |\n", UNSERVING.strip()):
        method, path = line.split(" ", 1)
        body = (
            None if method == "delete" else json.dumps(_FIRING if "{token}" in path else BODIES.get((method, path), {}))
        )
        for name, value in fills.items():
            path, body = path.replace(name, value), body and body.replace(name, value)
        path = re.sub(r"\{\w+\}", made_up, path)
        answer, after = sent(owner, method, path, body and json.loads(body))
        assert after == before, f"{line} changed what is served"
        assert answer.status_code < 500, f"{line}: {answer.content}"
        if answer.status_code == 404 and made_up not in path and not path.startswith("ofrep/"):
            unknown.append(line)

    # What is due goes the way of a person's write.
    with transaction.atomic():
        assert schedules.run(datetime(2100, 1, 1, tzinfo=UTC)) == 1
        assert served() == before
        assert ScheduledChange.objects.get().state == ScheduledChange.State.HELD
        transaction.set_rollback(True)
    # Else a route would prove nothing: what it changes was not there. OFREP's stand beside the API's.
    assert unknown == []


def test_acts__each_of_a_service__is_an_operation_of_requests_or_exempt_with_a_reason():
    assert sorted(gate.ACTS - OPERATIONS.keys() - gate.EXEMPT.keys()) == []
    assert all(gate.EXEMPT.values())


def test_log__nobody_else_writes_it__and_nobody_else_lets_writes_pass():
    writers, letting = set(), set()
    for name in APPS:
        for path in (ROOT / name).rglob("*.py"):
            if "tests" in path.parts or "migrations" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                text = ast.unparse(node) if isinstance(node, ast.Call) else ""
                if re.match(
                    r"Change\.objects\b.*\.(bulk_create|bulk_update|create|update|delete|get_or_create)\(", text
                ):
                    writers.add(path.relative_to(ROOT).as_posix())
                if re.match(r"(gate\.)?permitted\(", text):
                    letting.add(path.relative_to(ROOT).as_posix())

    assert writers == {
        "flags/services/version_log.py",  # it asks the gate
        "flags/services/version_log_retention.py",  # deletes old steps
        "flags/privacy.py",  # takes a person out of old steps
    }
    # The steps of a plan whose start was asked about.
    assert letting == {"approvals/services/publishing.py", "rollouts/executor/plans.py"}


def test_tasks_and_commands__each__is_known_to_write_flags_or_not():
    app.loader.import_default_modules()
    tasks = {name for name in app.tasks if not name.startswith("celery.")}
    commands = {name for name, place in get_commands().items() if place in APPS}

    assert sorted(tasks) == sorted([*WRITING_TASKS, *OTHER_TASKS])
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= tasks
    assert sorted(commands) == sorted([*WRITING_COMMANDS, *OTHER_COMMANDS])


def test_schedule__start_that_is_due__waits_for_approval_and_says_so(made, staging):
    guard(made, staging)
    before = served()
    draft = made.experiments.get(slug="draft")
    type(draft).objects.filter(pk=draft.pk).update(starts_at="2026-01-01T00:00Z")

    outcome = runs.keep_schedule(draft.pk)

    assert outcome.startswith("not started: production asks for 1 approval")
    assert served() == before


def test_console__each_form_of_each_page__changes_nothing_that_is_served(world, monkeypatch):
    environments = Environment.objects.filter(project__key="web", project__organization__slug="acme")
    guard(*environments)
    asked, wrong, seen, before = set(), [], set(), (_versions(), served())
    (guarding,) = gate._guards

    def noted(**given):
        asked.add(given["act"].name if given["act"] else "")
        guarding(**given)

    monkeypatch.setattr(gate, "_guards", [noted])
    many = ("release", "archive", "switch_on", "switch_off", "tag", "copy")
    for act in many:
        chosen = world.subjects["killed" if act == "release" else "changed"]
        fields = {"flags": str(chosen.pk), "reason": "x", "add": "new", "to": "staging", "tag": "new"}
        _press(world.people["owner"], world.url(f"admin:flags_flagconfig_{act}_many"), fields, before, wrong)
    for state in pages():
        client = world.people[state.who]
        if state.sends is not None or state.who != "owner":
            continue
        address, answer = opened(client, world.url(state.route, state.subject, **state.query))
        if answer.status_code != 200 or answer.streaming:
            continue
        for form in Page(answer.text).forms:
            target = urljoin(address, form.action)
            if not form.is_post or "/logout/" in target or re.search(_EXEMPT_PAGES, target) or target in seen:
                continue
            seen.add(target)
            _press(client, target, _altered(target, form.fields, answer.text), before, wrong)

    assert wrong == []
    assert asked >= {
        "flag.create", "flag.update", "flag.archive", "flag.restore", "flag.rollback", "flag.copy", "flag.release",
        "segment.create", "segment.update", "layer.create", "layer.update", "experiment.start", "experiment.resume",
        "experiment.restart", "experiment.complete", "environment.update",
    }  # fmt: skip


# The pages of acts that ask nobody: EXEMPT.
_EXEMPT_PAGES = "/kill|/pause|/rolloutplan/.*/rollback/"


def _versions():
    return list(Environment.objects.order_by("pk").values_list("config_version", flat=True))


def _press(client, target, fields, before, wrong):
    """Send a form, confirm what it asks to confirm, look whether anything else is served, and take it back."""
    with transaction.atomic():
        answer = client.post(target, fields)
        if answer.context and answer.context.get("confirmed"):
            answer = client.post(target, {**fields, "confirmed": answer.context["confirmed"]})
        # A step that serves the same, as of a name alone, is asked nothing.
        if _versions() != before[0] and served() != before[1]:
            wrong.append(target)
        transaction.set_rollback(True)


def _altered(target, fields, text):
    """What the form holds, made valid, with something of it changed. Documents are what a page's script would send."""
    given = {"key": "another", "name": "Another", "reason": "tried", "exposures": "experiments", "holdout": "7"}
    given |= {"flag": "plain", "eventName": "buy", "confirm": _typed(text), "confirmed": "7"}
    found = {**fields, **{name: [value] for name, value in given.items() if name in fields}, "choice": ["stop"]}
    base = json.loads(fields.get("base", [""])[0] or '{"key": "another", "name": "Another"}')
    for name, change in (("enabled", lambda on: not on), ("included", lambda ids: [*ids, "another"])):
        if name in base:
            base[name] = change(base[name])
    return {**found, "document": [json.dumps(base)]} if "base" in fields or "/add/" in target else found


def _typed(text):
    asked = re.search(r"Type <code>(.*?)</code> to confirm", text)
    return asked[1] if asked else ""
