"""With approvals on, no route, form, command or task changes what is served without what the policy asks."""

import ast
import json
import re
from urllib.parse import urljoin

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.db import transaction

from approvals.operations import OPERATIONS
from approvals.services import set_policy
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
from rollouts import services as rollouts
from tenancy.models import Environment
from tenancy.testing import ALICE

HALF = [{"variant": "treatment", "percent": 50}]
WHOLE = {
    "enabled": False,
    "version": 2,
    "variants": [{"key": "control", "value": False}, {"key": "treatment", "value": True}],
}
RELEASED = {"variant": "treatment", "template": "daily", "reason": "tried"}
IMPORTED = {"data": {"format": "flagship", "formatVersion": 1, "segments": [{"key": "imported", "included": ["u"]}]}}
# Each route that changes what is served: what is sent to it, and with which body.
SERVING = {
    ("post", "flags"): ("flags", {"key": "new"}),
    ("put", "flags/{key}"): ("flags/a", WHOLE),
    ("patch", "flags/{key}"): ("flags/a", {"enabled": False, "version": 2}),
    ("delete", "flags/{key}"): ("flags/a", None),
    ("post", "flags/{key}/restore"): ("flags/gone/restore", {}),
    ("post", "flags/{key}/rollback"): ("flags/a/rollback", {"version": 1}),
    ("post", "flags/{key}/copy"): ("flags/a/copy", {"to": "staging"}),
    ("post", "flags/{key}/kill/release"): ("flags/killed/kill/release", {}),
    ("post", "kill/release"): ("kill/release", {"tag": "pay"}),
    ("post", "segments"): ("segments", {"key": "t", "included": ["u"]}),
    ("put", "segments/{key}"): ("segments/s", {"included": ["v"], "version": 1}),
    ("patch", "segments/{key}"): ("segments/s", {"included": ["v"], "version": 1}),
    ("delete", "segments/{key}"): ("segments/s", None),
    ("patch", "environments/{key}"): ("environments/production", {"exposures": "experiments", "version": 1}),
    ("post", "environments/{key}/import"): ("environments/production/import", IMPORTED),
    ("patch", "experiments/{pk}"): ("experiments/running", {"trafficPercent": 60, "version": 2}),
    ("put", "experiments/{pk}"): ("experiments/running", {"name": "running", "trafficPercent": 60, "version": 2}),
    ("post", "experiments/{pk}/start"): ("experiments/draft/start", {}),
    ("post", "experiments/{pk}/resume"): ("experiments/paused/resume", {}),
    ("post", "experiments/{pk}/restart"): ("experiments/running/restart", {}),
    ("post", "experiments/{pk}/complete"): ("experiments/running/complete", {"decision": "stop"}),
    ("post", "experiments/{pk}/release"): ("experiments/running/release", RELEASED),
    ("post", "flags/{key}/rollout-plan/start"): ("flags/planned/rollout-plan/start", {}),
    ("post", "flags/{key}/rollout-plan/advance"): ("flags/stepped/rollout-plan/advance", {}),
    ("post", "flags/{key}/rollout-plan/resume"): ("flags/returned/rollout-plan/resume", {}),
}  # fmt: skip
# What decides who is enrolled, and is in no document.
ENROLLING = {
    ("post", "layers"): ("layers", {"key": "new"}),
    ("patch", "layers/{key}"): ("layers/l", {"holdoutPercent": 5, "version": 1}),
    ("delete", "layers/{key}"): ("layers/l", None),
    ("put", "metrics/{key}"): ("metrics/m", {"name": "M", "type": "binary", "eventName": "other", "version": 1}),
    ("patch", "metrics/{key}"): ("metrics/m", {"eventName": "other", "version": 1}),
}
# Nothing asks before these.
EXEMPT = {
    ("post", "flags/{key}/kill"): ("flags/a/kill", {}),
    ("post", "kill"): ("kill", {"tag": "pay"}),
    ("post", "experiments/{pk}/pause"): ("experiments/running/pause", {}),
    ("post", "flags/{key}/rollout-plan/rollback"): ("flags/stepped/rollout-plan/rollback", {}),
}
# Every other route that takes something. Whoever adds one says here, or above, what it is; both are tried.
UNSERVING = """
delete credentials/{credential_id} · delete credentials/{credential_id}/environments/{project}/{environment}
delete environments/{environment_key}/signing-keys · delete environments/{key} · delete experiments/{pk}
delete follows/{follow_id} · delete freezes/{freeze_id} · delete members/{member_id} · delete metrics/{key}
delete notification-settings/{channel} · delete organizations/{slug} · delete orgs/{slug} · delete projects/{key}
delete service-accounts/{client_id} · delete webhooks/{webhook_id} · patch change-requests/{request_id}
patch freezes/{freeze_id} · patch members/{member_id} · patch organizations/{slug} · patch orgs/{slug}
patch projects/{key} · patch webhooks/{webhook_id} · post auth/token · post change-requests
post change-requests/{request_id}/approve · post change-requests/{request_id}/cancel
post change-requests/{request_id}/comment · post change-requests/{request_id}/emergency-publish
post change-requests/{request_id}/object · post change-requests/{request_id}/publish
post change-requests/{request_id}/rebase · post change-requests/{request_id}/revert · post credentials
post environments · post environments/{environment_key}/signing-keys · post evaluate · post evaluate/preview
post events/conversion · post events/exposure · post events/metrics · post events/usage · post experiments
post experiments/power · post experiments/{pk}/impact · post flags/evaluate · post flags/evaluate/all
post flags/evaluate/preview · post flags/{key}/impact · post flags/{key}/publish · post flags/{key}/purge · post follows
post freezes · post members · post metrics · post ofrep/v1/evaluate/flags · post ofrep/v1/evaluate/flags/{key}
post organizations · post orgs · post privacy/erase · post privacy/export · post projects · post service-accounts
post stream/ack · post webhooks · post webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver
post webhooks/{webhook_id}/redeliver · post webhooks/{webhook_id}/rotate-secret · post webhooks/{webhook_id}/test
put credentials/{credential_id}/environments/{project}/{environment} · put environments/{key}/policy
put notification-settings/{channel} · put webhooks/{webhook_id} · delete references · put references
put flags/{key}/references · delete flags/{key}/rollout-plan · delete rollout-templates/{key}
delete scheduled-changes/{change_id} · delete triggers/{trigger_id} · patch scheduled-changes/{change_id}
patch triggers/{trigger_id} · post flags/{key}/rollout-plan/cancel · post flags/{key}/rollout-plan/hold
post rollout-templates · post scheduled-changes · post triggers · post triggers/{token} · put flags/{key}/rollout-plan
put rollout-templates/{key}
"""
# Tasks and commands that write flags, and by which acts; the others write none.
WRITING_TASKS = {
    "approvals.publish_due": "the change requests that are due",
    "experiments.keep_schedule": "experiment.start and experiment.pause",
    "experiments.watch_experiment": "flag.kill and experiment.pause",
    "rollouts.work": "the steps of plans whose start was asked about, and flag.update by scheduled changes",
    "tenancy.run_privacy_jobs": "person.erase",
}
OTHER_TASKS = [
    "analytics.aggregate_flags",
    "analytics.apply_retention",
    "analytics.find_fast_bots",
    "analytics.fold_usage",
    "analytics.make_partitions",
    "audit.heads",
    "experiments.free_layer",
    "experiments.nightly",
    "experiments.schedule",
    "experiments.store_breakdowns",
    "experiments.store_nightly_results",
    "experiments.watch",
    "experiments.watch_splits",
    "experiments.watch_splits_of",
    "flags.look_after_flags",
    "flags.prune_version_log",
    "flags.publish_snapshots",
    "flags.purge_archived",
    "flagship.clear_sessions",
    "flagship.export_events",
    "integrations.deliver_webhooks",
    "integrations.look_for_webhooks",
    "integrations.notify",
    "integrations.prune",
    "integrations.stream_audit",
]
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


def guard(*environments):
    for environment in environments:
        set_policy(actor=ALICE, environment=environment, payload={"requiredApprovals": 1}, version=1)


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


def test_routes__that_serve__ask_for_approval_with_a_request_that_can_be_sent(made, staging, owner):
    before = served()
    for (method, route), (path, body) in (SERVING | EXEMPT).items():
        answer, after = sent(owner, method, path, body)
        assert answer.status_code < 300, f"{method} {route}: {answer.content}"
        assert after != before, f"{method} {route} changes nothing, so it proves nothing"
    guard(made, staging)

    for (method, route), (path, body) in (SERVING | ENROLLING).items():
        answer, after = sent(owner, method, path, body)
        assert answer.status_code == 409, f"{method} {route}: {answer.status_code} {answer.content}"
        refusal = answer.json()
        assert refusal["errors"][0]["code"] == "approval_required", f"{method} {route}: {refusal}"
        assert after == before, f"{method} {route} changed what is served"
        where = "staging" if route == "flags/{key}/copy" else "production"
        with transaction.atomic():
            proposed = owner.post("change-requests", refusal["changeRequest"], project="web", environment=where)
            transaction.set_rollback(True)
        assert proposed.status_code == 201, f"{method} {route}: {proposed.content}"
        assert served() == before
    for (method, route), (path, body) in EXEMPT.items():
        answer, after = sent(owner, method, path, body)
        assert answer.status_code < 300, f"{method} {route}: {answer.content}"
        assert after != before


def test_routes__that_serve_nothing__change_nothing_that_is_served(made, staging, owner):
    owner.query = {"environment": "production"}
    change = {"resource": {"type": "flag", "key": "a"}, "patch": {"enabled": False}}
    request = owner.post("change-requests", {"title": "Off", "changes": [change]}).json()
    guard(made, staging)
    before = served()
    fills = {
        "{key}": "production",
        "{slug}": "acme",
        "{request_id}": request["id"],
        "{pk}": "draft",
        "{project}": "web",
    }
    for line in re.split(r" · |\n", UNSERVING.strip()):
        method, route = line.split(" ", 1)
        path = "a".join(re.split(r"(?<=flags/)\{key\}", route))
        for name, value in fills.items():
            path = path.replace(name, value)
        path = re.sub(r"\{\w+\}", "0190a1b2-0000-7000-8000-000000000001", path)
        _, after = sent(owner, method, path, None if method == "delete" else BODIES.get((method, route), {}))
        assert after == before, f"{line} changed what is served"


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
        "experiment.restart", "experiment.complete",
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
