"""Every route with every kind of caller, compared with docs/permissions.md; a route without a row there fails."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from audit.actors import system
from flags.propagation.runtime import RUNTIME
from integrations.models import WebhookDelivery
from tenancy.authentication.keyring import KEYRING
from tenancy.models import Credential, User
from tenancy.privacy.jobs import run_privacy_jobs
from tenancy.testing import Caller

TABLE = Path(__file__).resolve().parents[2] / "docs" / "permissions.md"
METHODS = ("get", "post", "put", "patch", "delete")
CALLERS = ("server", "client", "viewer", "editor", "admin", "owner", "outsider", "anonymous")
# What a cell promises, as the statuses that keep the promise; a role is checked before a body is looked at.
MEANINGS = {
    "yes": {200, 201, 202, 204, 304, 307, 400, 409},
    "own": {200, 201, 202, 204, 304, 307, 400, 409},
    "no": {403},
    "hidden": {404},
    "login": {401},
}
# Bodies where the role that is needed depends on what is sent.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "members"): {"username": "nobody", "role": "viewer"},
    ("patch", "members/{member_id}"): {"role": "viewer", "version": 1},
    ("post", "credentials"): {"kind": "server", "name": "x", "environment": "production"},
    ("post", "organizations"): {"slug": "x", "name": "X"},
    ("post", "orgs"): {"slug": "x", "name": "X"},
    ("post", "evaluate/preview"): {"flagKey": "only-ours"},
    ("post", "privacy/erase"): {"kind": "userId", "id": "ann"},
    ("post", "privacy/export"): {"kind": "userId", "id": "ann"},
    ("post", "service-accounts"): {"name": "x", "role": "viewer"},
    ("post", "flags/{key}/copy"): {"to": "staging"},
    ("post", "flags/{key}/impact"): {"config": {}},
    ("post", "flags/evaluate/preview"): {"flagKey": "only-ours"},
    ("post", "evaluate"): {"flagKey": "only-ours", "userId": "u"},
    ("post", "flags/evaluate"): {"flagKey": "only-ours", "userId": "u"},
    ("patch", "flags/{key}"): {"version": 1, "enabled": True},
    ("post", "flags/{key}/rollback"): {"version": 1},
    ("post", "experiments/{pk}/complete"): {"decision": "stop"},
    ("post", "freezes"): {"name": "x"},
    ("patch", "freezes/{freeze_id}"): {"name": "x", "version": 1},
    ("patch", "change-requests/{request_id}"): {"title": "x", "version": 1},
    ("post", "change-requests/{request_id}/approve"): {"content": "x"},
    ("post", "change-requests/{request_id}/object"): {"text": "x"},
    **{
        (method, route): {"version": 1}
        for method in ("put", "patch")
        for route in ("flags/{key}", "segments/{key}", "layers/{key}", "metrics/{key}", "experiments/{pk}")
        if (method, route) != ("patch", "flags/{key}")
    },
}


def _routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Any:
    for entry in patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _routes(entry.url_patterns, path)
        else:
            yield path, entry.callback


def _served() -> set[tuple[str, str]]:
    """Each (method, route) below /api/, and OFREP's, as the table names them."""
    found = set()
    for path, callback in _routes(get_resolver().url_patterns):
        route = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
        view = getattr(callback, "view_class", None)
        if view is None or not route.startswith(("api/", "ofrep/")) or route in {"api/schema/", "api/docs/"}:
            continue
        found |= {(method, route.removeprefix("api/")) for method in METHODS if hasattr(view, method)}
    return found


def _table() -> dict[tuple[str, str], dict[str, str]]:
    rows = {}
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == len(CALLERS) + 2 and re.fullmatch(r"[A-Z, ]+", cells[0]) and cells[1].startswith("`"):
            for method in cells[0].split(", "):
                rows[method.lower(), cells[1].strip("`")] = dict(zip(CALLERS, cells[2:], strict=True))
    return rows


def test_table__every_route__has_a_row_and_no_row_is_left_over():
    served, rows = _served(), set(_table())

    assert sorted(served - rows) == []
    assert sorted(rows - served) == []


def test_table__every_cell__has_a_meaning():
    assert {cell for row in _table().values() for cell in row.values()} <= MEANINGS.keys()


@pytest.fixture
def things(environment, staging, owner, make_flag):
    """One of each kind of thing under names that the other tenant does not have; returns what fills the routes."""
    make_flag("only-ours")
    owner.query = {"project": "web", "environment": "production"}
    owner.post("segments", {"key": "only-ours"})
    owner.post("layers", {"key": "only-ours"})
    owner.post("projects", {"key": "only-ours", "name": "Only ours"})
    owner.post("environments", {"key": "only-ours", "name": "Only ours"}, project="only-ours")
    owner.post("service-accounts", {"name": "bot", "role": "viewer"})
    owner.post("metrics", {"key": "only-ours", "name": "M", "type": "binary", "eventName": "paid"})
    made = owner.post(
        "experiments",
        {"name": "E", "flagKey": "only-ours", "controlVariant": "control", "primaryMetric": "only-ours"},
    )
    assert made.status_code == 201, made.content
    asked = owner.post("privacy/export", {"kind": "userId", "id": "ann"}).json()
    run_privacy_jobs(actor=system("privacy"))
    member = User.objects.get(username="bot@acme").memberships.get()
    credential = owner.post("credentials", {"kind": "client", "name": "x", "environment": "production"}).json()
    owner.put("notification-settings/email", {"mine": "daily"})
    hook = owner.post("webhooks", {"name": "CI", "url": "https://93.184.216.34/hook", "events": ["*"]}).json()
    sent = WebhookDelivery.objects.create(endpoint_id=hook["id"], event_type="flag.created", position=1)
    change = {"resource": {"type": "flag", "key": "only-ours"}, "patch": {"enabled": False}}
    asked_for = owner.post("change-requests", {"title": "Off", "changes": [change]}).json()
    steps = [{"percent": 50}]
    owner.put("flags/only-ours/rollout-plan", {"variant": "treatment", "steps": steps})
    owner.post("rollout-templates", {"key": "only-ours", "steps": steps})
    patch = {"resource": {"type": "flag", "key": "only-ours"}, "patch": {"enabled": False}}
    version = owner.get("flags/only-ours").json()["version"]
    scheduled = owner.post("scheduled-changes", {**patch, "baseVersion": version, "at": "2099-01-01T00:00:00Z"}).json()
    trigger = owner.post("triggers", {"name": "errors", "flagKey": "only-ours", "act": "kill_flag"}).json()
    return {
        "{request_id}": asked_for["id"],
        "{freeze_id}": owner.post("freezes", {"name": "Holidays", "since": "2099-12-24T00:00:00Z"}).json()["id"],
        "{change_id}": scheduled["id"],
        "{trigger_id}": trigger["id"],
        "{token}": trigger["token"],
        "{channel}": "email",
        "{follow_id}": owner.post("follows", {"kind": "flag", "project": "web", "key": "only-ours"}).json()["id"],
        "{webhook_id}": hook["id"],
        "{delivery_id}": str(sent.pk),
        "{slug}": "acme",
        "{key}": "only-ours",
        "{member_id}": str(member.pk),
        "{client_id}": "bot@acme",
        "{credential_id}": credential["id"],
        "{project}": "web",
        "{environment}": "production",
        "{pk}": made.json()["id"],
        "{environment_key}": "production",
        "{result}": "1",
        "{job_id}": asked["id"],
    }


@pytest.fixture
def callers(things, key, request):
    found: dict[str, Caller] = {"server": key("server"), "client": key("client")}
    found |= {name: request.getfixturevalue(name) for name in ("viewer", "editor", "admin", "owner", "outsider")}
    KEYRING.refresh()
    RUNTIME.refresh()
    return found


def _status(caller: Caller | None, method: str, route: str, things: dict[str, str]) -> int:
    path = route
    for name, value in things.items():
        path = path.replace(name, value)
    body = None if method in {"get", "delete"} else BODIES.get((method, route), {})
    if route.startswith("environments/{key}"):
        query = {"project": "only-ours"}
    else:
        query = {"project": "web", "environment": "production"} if caller and caller.tenant else {}
    sender = caller or Caller("")
    prefix = "" if route.startswith("ofrep/") else "/api"
    with transaction.atomic():
        status = _send(sender, method, f"{prefix}/{path}", body, query)
        transaction.set_rollback(True)
    return status


def _send(caller: Caller, method: str, path: str, body: Any, query: dict[str, str]) -> int:
    headers = {"Authorization": f"Bearer {caller.secret}"} if caller.secret else {}
    if caller.tenant:
        headers["X-Tenant-ID"] = caller.tenant
    arguments: dict[str, Any] = {"headers": headers, "query_params": query}
    if body is not None:
        arguments |= {"data": body, "content_type": "application/json"}
    return int(getattr(Client(), method)(path, **arguments).status_code)


def test_every_route__with_every_caller__does_what_the_table_says(things, callers):
    wrong = []
    for (method, route), row in sorted(_table().items()):
        for name in CALLERS:
            if route.endswith("history/{result}") and row[name] == "yes":
                # No result is stored here, so whoever is let in finds none; the others must not even get there.
                continue
            status = _status(callers.get(name), method, route, things)
            if status not in MEANINGS[row[name]]:
                wrong.append(f"{method.upper()} {route} as {name}: {row[name]} promised, {status} came")

    assert not wrong, "\n".join(wrong)
    assert Credential.objects.filter(kind="client", name="x").exists()
