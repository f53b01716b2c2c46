"""Hostile values in every field of every route and of every console form: refused or taken, and never a 500."""

import os
import re
import time
from urllib.parse import quote, urljoin

import pytest
from django.db import transaction
from django.utils.html import escape

from audit.models import Entry
from flags.propagation.runtime import RUNTIME
from flagship.tests.console_pages import pages
from flagship.tests.console_world import routes
from flagship.tests.crawling import Page, opened
from flagship.tests.hostile import JSON_VALUES, TEXTS, leaves, written

pytestmark = pytest.mark.django_db
# Routes, addresses and forms get one in so many of what `make thorough` gives them.
SPARING = int(os.environ.get("HOSTILE_SPARING", "2"))
MOMENT, ID = "2026-01-05T09:00:00Z", "0190a1b2-0000-7000-8000-000000000001"
RULE = {
    "priority": 1,
    "name": "n",
    "conditions": [{"attribute": "country", "operator": "in", "value": ["DE"]}],
    "rollout": [{"variant": "treatment", "percent": 50}],
}
FLAG = {
    "key": "new",
    "name": "New",
    "description": "d",
    "type": "boolean",
    "tags": ["a"],
    "team": "t",
    "kind": "ops",
    "permanent": True,
    "expectedEnd": "2030-01-01",
    "links": [{"title": "t", "url": "https://example.com"}],
    "metadata": {"a": 1},
    "variants": [{"key": "control", "value": False}, {"key": "treatment", "value": True}],
    "enabled": True,
    "defaultVariant": "control",
    "offVariant": "control",
    "bucketBy": "userId",
    "prerequisites": [{"flagKey": "a", "variants": ["treatment"]}],
    "targets": [{"variant": "treatment", "userIds": ["u"]}],
    "rules": [RULE],
    "rollout": [{"variant": "treatment", "percent": 25}],
}
EXPERIMENT = {
    "name": "E",
    "flagKey": "a",
    "hypothesis": "h",
    "primaryMetric": "m",
    "secondaryMetrics": ["m2"],
    "guardrails": [{"metric": "m2", "marginPercent": 5}],
    "alpha": 0.05,
    "trafficPercent": 50,
    "plannedUsers": 100,
    "startsAt": "2099-01-01T00:00:00Z",
    "endsAt": "2099-02-01T00:00:00Z",
    "tags": ["a"],
}
MANAGED = {
    "post flags": FLAG,
    "patch flags/a": {"version": 1, "name": "B", "rules": [RULE], "rollout": [{"variant": "treatment", "percent": 1}]},
    "post flags/a/kill": {"variant": "control", "reason": "r"},
    "post flags/a/rollback": {"version": 1, "reason": "r"},
    "post flags/a/copy": {"to": "staging", "reason": "r"},
    "post flags/evaluate/preview": {"flagKey": "a", "userId": "u", "attributes": {"country": "DE"}, "at": MOMENT},
    "post flags/a/impact": {"config": {"enabled": True, "rules": [RULE]}},
    "post segments": {
        "key": "s", "name": "S", "included": ["u"], "excluded": ["v"],
        "conditions": {"all": [{"attribute": "a", "operator": "matches", "value": "^a"}]},
    },
    "post layers": {"key": "l", "name": "L", "holdoutPercent": 5},
    "post metrics": {
        "key": "n", "name": "N", "type": "binary", "eventName": "buy", "windowHours": 24, "cap": 10, "quantile": 0.5,
        "goal": "increase",
    },
    "post experiments": EXPERIMENT,
    "post experiments/power": {"baseline": 0.1, "effect": 0.1, "alpha": 0.05, "power": 0.8, "variants": 2},
    "post organizations": {"slug": "x", "name": "X"},
    "post projects": {"key": "p", "name": "P"},
    "post environments": {"key": "e", "name": "E", "isProduction": True, "salt": "s"},
    "post members": {"username": "olga", "role": "viewer", "project": "web", "environment": "production"},
    "post service-accounts": {"name": "bot", "role": "viewer", "project": "web"},
    "post credentials": {"kind": "server", "name": "k", "expiresAt": "2099-01-01T00:00:00Z"},
    "post environments/production/import": {
        "data": {"format": "flagship", "formatVersion": 1, "flags": [FLAG]}, "dryRun": True, "keepExisting": True,
    },
    "post privacy/erase": {"kind": "userId", "id": "u"},
    "put environments/production/policy": {
        "requiredApprovals": 0, "approvers": {"roles": ["admin"], "groups": ["g"]}, "ownApproval": False,
        "when": {"impactPercent": 5, "experiments": True, "tags": ["a"]}, "emergency": {"roles": []}, "version": 1,
    },
    "post freezes": {
        "name": "F", "reason": "r", "since": "2099-01-01T00:00:00Z", "cron": "0 18 * * 5", "durationMinutes": 60,
        "zone": "UTC", "exempt": {"roles": ["owner"], "groups": ["g"]},
    },
    "post change-requests": {
        "title": "T", "description": "d", "at": "2099-01-01T00:00:00Z", "draft": True,
        "changes": [{"resource": {"type": "flag", "key": "a"}, "patch": {"enabled": False}, "baseVersion": 1}],
    },
}  # fmt: skip
OF_KEYS = {
    "evaluate": {"flagKey": "a", "userId": "u", "attributes": {"country": "DE"}, "defaultValue": 1},
    "flags/evaluate/all": {"flagKeys": ["a"], "userId": "u", "attributes": {"country": "DE"}},
    "events/exposure": {
        "evaluationId": ID, "flagKey": "a", "userId": "u", "variant": "control", "timestamp": MOMENT,
        "attributes": {"a": 1}, "source": "s", "configVersion": 1,
    },
    "events/conversion": {
        "userId": "u", "eventName": "e", "id": "i", "value": 1, "timestamp": MOMENT, "properties": {"a": 1},
    },
    "events/metrics": {"events": [{"userId": "u", "metricKey": "m", "value": 1, "timestamp": MOMENT}]},
    "events/usage": {
        "sdk": "python/0.1.0", "until": MOMENT, "service": "s", "source": "edge",
        "unknownFlags": [{"flagKey": "b", "count": 1}],
        "flags": [{"flagKey": "a", "variant": "control", "reason": "DEFAULT", "count": 1}],
    },
    "stream/ack": {"instance": "i", "version": 1, "sdk": "s"},
}  # fmt: skip
# What a form of the console needs to be right but for one field.
FILLED = {
    "key": "hostile",
    "name": "Hostile",
    "reason": "tried",
    "eventName": "buy",
    "user": "hostile",
    "password": "correct-horse-battery",
    "person_id": "u",
    "user_id": "u",
}
READ = {
    "flags": ("page", "pageSize", "search", "tag", "state", "type", "owner", "stage"),
    "flags/a": ("at",),
    "flags/a/exposures": ("window",),
    "flags/a/usage": ("window",),
    "unknown-flags": ("page",),
    "audit": ("since", "until", "entity", "actor", "page"),
    "audit/export": ("as", "since"),
    "experiments": ("status", "page"),
    "segments": ("search", "pageSize"),
    "members": ("organization",),
    "privacy/jobs": ("organization", "page"),
    "metrics": ("project", "environment"),
}


@pytest.fixture
def callers(environment, staging, owner, key, make_flag):
    make_flag("a", rollout=[{"variant": "treatment", "percent": 25}])
    for name in ("m", "m2"):
        owner.post("metrics", {"key": name, "type": "binary", "eventName": name}, environment="production")
    owner.query = {"environment": "production"}
    found = owner, key()
    RUNTIME.refresh()
    # A failure is to be an answer, as it is to whoever sends it.
    for caller in found:
        caller._client.raise_request_exception = False
    return found


def failed(wrong, what, send):
    # Of this process's own time: the machine may be busy with others.
    began = time.process_time()
    answer = send()
    if answer.status_code >= 500:
        wrong.append(f"{what}: {answer.status_code} {answer.text[:200]}")
    elif time.process_time() - began > 2:
        wrong.append(f"{what}: took {time.process_time() - began:.1f} s")
    return answer


def test_routes__hostile_value_in_each_field__is_no_500(callers):
    owner, service = callers
    wrong = []
    doors = [(owner, *route.split(" ", 1), body) for route, body in MANAGED.items()]
    doors += [(service, "post", path, body) for path, body in OF_KEYS.items()]
    for caller, method, path, body in doors:
        for number, place in enumerate(leaves(body)):
            for index, (name, value) in enumerate(JSON_VALUES.items()):
                # Each field gets a part of the list; over all fields each kind of field gets all of it.
                if (index + number) % (5 * SPARING):
                    continue
                content = written(body, place, value)
                failed(wrong, f"{method} {path} {place} {name}", lambda: caller.send(method, path, content))  # noqa: B023
        for name, value in JSON_VALUES.items():
            failed(wrong, f"{method} {path} {name}", lambda: caller.send(method, path, value.encode()))  # noqa: B023
        failed(wrong, f"{method} {path} no UTF-8", lambda: caller.send(method, path, b'{"key": "\xff\xfe"}'))  # noqa: B023
    assert wrong == []
    # What was taken can be read, exported and verified.
    assert owner.get("audit", pageSize=200).status_code == 200
    assert owner.get("flags", pageSize=200).status_code == 200
    assert b"error" not in b"".join(owner.get("audit/export", **{"as": "jsonl"}).streaming_content)[-200:]


def test_addresses__hostile_value_in_each_parameter__is_no_500(callers):
    owner, _ = callers
    wrong = []
    for path, parameters in READ.items():
        for name in parameters:
            for what, value in TEXTS.items():
                text = value.encode(errors="surrogateescape")[:8_000]
                address = f"/api/{path}?environment=production&{name}={quote(text)}"
                headers = {"Authorization": f"Bearer {owner.secret}", "X-Tenant-ID": owner.tenant}
                failed(wrong, f"{path} {name} {what}", lambda: owner._client.get(address, headers=headers))  # noqa: B023
    assert wrong == []


def test_console__hostile_value_in_each_field_of_each_form__is_said_beside_it_and_no_500(world):
    wrong, tried, seen = [], 0, set()
    for state in pages():
        client = world.people[state.who]
        client.raise_request_exception = False
        if state.sends is not None:
            continue
        address, answer = opened(client, world.url(state.route, state.subject, **state.query))
        if answer.status_code != 200 or answer.streaming:
            continue
        text = answer.text
        for form in Page(text).forms:
            names = sorted(form.fields.keys() - {"csrfmiddlewaretoken"})
            if not form.is_post or "/logout/" in form.action or (state.route, *names) in seen:
                continue
            seen.add((state.route, *names))
            target, refused = urljoin(address, form.action), None
            filled = {**form.fields, **{name: [FILLED[name]] for name in names if name in FILLED}}
            if "document" in names:
                filled["document"] = [form.fields.get("base", [""])[0] or '{"key": "hostile", "name": "Hostile"}']
            if asked := re.search(r"Type <code>(.*?)</code> to confirm", text):
                filled["confirm"] = [asked[1]]
            if "url" in names:
                filled["kinds"] = ["flag.*"]
            for number, name in enumerate(names):
                # Each field gets a part of the list; over all forms each kind of field gets all of it.
                step = 2 if name == "document" else 6 * SPARING
                for what, value in list(TEXTS.items())[(number + tried) % step :: step]:
                    tried += 1
                    sent = {**filled, name: [value.encode(errors="replace").decode()]}
                    answer = failed(wrong, f"{address} {name} {what}", lambda: sent_and_undone(client, target, sent))  # noqa: B023
                    if answer.status_code != 422 or is_said_beside(answer, name):
                        continue
                    # A thing that is in use, or a form that lacks more than one field, refuses whatever is sent.
                    if refused is None:
                        refused = said_in(sent_and_undone(client, target, filled))
                    if said_in(answer) != refused:
                        wrong.append(f"{address} {name} {what}: {said_in(answer)}")
    assert wrong == []
    assert tried >= 600


def sent_and_undone(client, target, sent):
    """Every form is to find its thing, whatever another one did to it. What changes something leads to another page."""
    with transaction.atomic():
        written = Entry.objects.count()
        answer = client.post(target, sent)
        changed = Entry.objects.count() - written
        transaction.set_rollback(True)
    # Who loads a page again that was the answer would do it twice.
    assert not changed or answer.status_code == 302, f"{target} {sent} changes something, and answers with a page"
    return answer


def said_in(answer):
    """What is wrong by field, whichever way the page has its form."""
    if not answer.context:
        return {}
    form, edit = answer.context.get("form"), answer.context.get("edit")
    found = {name: list(messages) for name, messages in form.errors.items()} if hasattr(form, "errors") else {}
    for problem in edit.problems if edit is not None else ():
        found.setdefault(problem.attr or "document", []).append(problem.detail)
    return found


def is_said_beside(answer, name):
    """Whether the answer names the field. A form says each message twice: above all fields, and at its own."""
    said = said_in(answer)
    form = (answer.context or {}).get("form")
    if hasattr(form, "errors"):
        # A moment is one field of the form, and a clock, what it showed, and a zone on the page.
        name = re.sub(r"_(zone|shown)$", "", name) if name not in form.fields else name
        if name in form.fields and form[name].is_hidden:
            return bool(said)
        return bool(said.get(name)) and all(answer.text.count(escape(message)) > 1 for message in said[name])
    return bool(said) and (name == "document" or any(path.partition(".")[0] == name for path in said))


def test_console__hostile_value_in_each_address__is_no_500(world):
    wrong, client = [], world.people["owner"]
    client.raise_request_exception = False
    values = ("%00", "9" * 40, "0001-01-01T00:00", "1e1000000", "%ff", "9999-12-31T23:59")
    for number, route in enumerate(routes()):
        of_list = route.endswith("_changelist")
        parameters = (
            ("q", "p", "o", "tag", "state", "kind__exact") if of_list else ("window", "segment", "before", "at")
        )
        for index, parameter in enumerate(("environment", *parameters)):
            if (number + index) % SPARING:
                continue
            query = f"{parameter}={values[(number + index) // SPARING % len(values)]}"
            failed(wrong, f"{route} {query}", lambda: client.get(f"{world.url(route)}?{query}"))  # noqa: B023
    assert wrong == []
