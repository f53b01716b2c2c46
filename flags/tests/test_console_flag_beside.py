"""What stands beside a flag's form: people counted, environments compared, snippets, attributes to suggest."""

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.template import Context, Engine
from django.urls import reverse
from django.utils import timezone
from openflagship.ids import uuid7

from analytics.event_records import Batch, ExposureEvent
from analytics.services import store_events
from flags import services
from flags.admin.flag.snippets import snippets_for
from flags.models import FlagConfig
from flags.tests.console_documents import fields, shares
from tenancy.testing import ALICE

RULE = {
    "priority": 10,
    "variant": "treatment",
    "conditions": [
        {"attribute": "country", "operator": "equals", "value": "US"},
        {"attribute": "seats", "operator": "greater_than", "value": 5},
    ],
}


@pytest.fixture
def config(acme):
    payload = {"key": "new-checkout", "enabled": True, "rules": [RULE]}
    return services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]


def url(config, page):
    return reverse(f"admin:flags_flagconfig_{page}", args=[config.pk])


def saw(environment, unit, *, variant="control", attributes=None):
    at = round((timezone.now() - timedelta(minutes=5)).timestamp() * 1000)
    text = json.dumps(attributes) if attributes else None
    exposure = ExposureEvent(
        uuid7(at), environment.pk, "new-checkout", unit, variant, "DEFAULT", None, None, 1, at, at, "api", None, text
    )
    store_events(Batch(exposures=[exposure]))


def test_people__change_without_rules__are_counted_by_where_they_go(console_editor, acme):
    config = services.create_flag(
        actor=ALICE, environment=acme.staging, payload={"key": "new-checkout", "enabled": True}
    )[0]
    for number in range(3):
        saw(acme.staging, f"user-{number}")

    answer = console_editor.post(
        url(config, "affected_users"), fields(console_editor, config, defaultVariant="treatment")
    )

    assert "3 people seen in the last 7 days" in answer.text
    assert "(3 from control to treatment)" in answer.text


def test_people__nothing_changed__says_nothing(console_editor, acme):
    config = services.create_flag(
        actor=ALICE, environment=acme.staging, payload={"key": "new-checkout", "enabled": True}
    )[0]
    assert console_editor.post(url(config, "affected_users"), fields(console_editor, config)).text.strip() == ""


def test_preview__rules__have_a_sentence_each_though_one_is_unfinished(console_editor, config):
    rules = [
        {
            "priority": 10,
            "variant": "treatment",
            "conditions": [{"attribute": "plan", "operator": "equals", "value": "pro"}],
        },
        {
            "priority": 20,
            "rollout": shares(treatment=12.5),
            "conditions": [{"attribute": "age", "operator": "less_than", "value": "x"}],
        },
    ]
    answer = console_editor.post(url(config, "preview"), fields(console_editor, config, rules=rules))

    assert json.loads(answer.context["rules"]) == [
        "If plan is pro: treatment.",
        "",
    ]
    assert "number" in answer.text


def test_compare__environments__marks_what_differs(console_viewer, config):
    page = console_viewer.get(url(config, "compare"))

    rows = {row.name: row for row in page.context["rows"]}
    assert [one.environment.key for one in page.context["configs"]] == ["production", "staging"]
    assert rows["State"].cells == [["off"], ["on"]]
    assert rows["Rules"].cells == [[], ["If country is US and seats is greater than 5: treatment."]]
    assert rows["Rules"].differs
    assert not rows["Default variant"].differs


def test_compare__outsider__is_not_found(console_outsider, config):
    assert console_outsider.get(url(config, "compare")).status_code == 404


def test_snippets__flag__name_its_key_and_what_its_rules_ask_for(console_viewer, config):
    snippets = {snippet.id: snippet.text for snippet in console_viewer.get(url(config, "change")).context["snippets"]}

    assert list(snippets) == [
        "python", "python-async", "openfeature", "node", "go", "browser", "javascript-web", "javascript-server", "curl",
        "django",
    ]  # fmt: skip
    assert "is_enabled('new-checkout', 'alice', {'country': 'US', 'seats': 5})" in snippets["python"]
    assert '("new-checkout", false, {"userId": "alice", "country": "US", "seats": 5})' in snippets["node"]
    assert '{% flag "new-checkout" as is_on %}' in snippets["django"]


@pytest.mark.parametrize(("kind", "answer", "shown"), [("boolean", True, "on"), ("string", "red", "red")])
def test_snippet__of_a_django_template__renders_the_answer(acme, kind, answer, shown):
    variants = None if kind == "boolean" else [{"key": "a", "value": "red"}, {"key": "b", "value": "blue"}]
    payload = {"key": "colour", "type": kind, **({"variants": variants} if variants else {})}
    config = services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]
    text = next(snippet.text for snippet in snippets_for(config) if snippet.id == "django")
    asked = []

    def variation(key, default):
        asked.append(key)
        return answer

    engine = Engine(libraries={"flags": "openflagship.django.templatetags.flags"})
    request = SimpleNamespace(flags=SimpleNamespace(variation=variation))

    assert engine.from_string(text).render(Context({"request": request})).strip() == shown
    assert asked == ["colour"]


def attributes(client, environment):
    return client.get(reverse("admin:flags_flagconfig_attributes"), {"environment": environment.pk})


def test_attributes__seen_and_asked_for__with_their_kinds(console_viewer, acme, config):
    saw(acme.staging, "user-1", attributes={"country": "DE", "beta": True, "app": "2.10.1", "userId": "user-1"})
    saw(acme.staging, "user-2", attributes={"country": "FR", "since": "2026-01-02"})
    cache.delete(f"console:attributes:{acme.staging.pk}")

    found = attributes(console_viewer, acme.staging).json()

    assert found["country"] == {"kind": "text", "values": ["DE", "FR", "US"]}
    assert found["beta"]["kind"] == "yesno"
    assert found["app"] == {"kind": "version", "values": ["2.10.1"]}
    assert found["since"]["kind"] == "moment"
    assert found["seats"] == {"kind": "", "values": []}
    assert found["userId"] == {"kind": "text", "values": []}


def test_attributes__with_a_value_for_everybody__are_known_but_offer_none(console_viewer, acme, config):
    for number in range(51):
        saw(acme.staging, f"user-{number}", attributes={"email": f"user-{number}@example.com", "country": "DE"})
    cache.delete(f"console:attributes:{acme.staging.pk}")

    found = attributes(console_viewer, acme.staging).json()

    assert found["email"] == {"kind": "text", "values": []}
    assert found["country"]["values"] == ["DE", "US"]


def test_attributes__another_tenants__are_not_shown(console_outsider, acme, config):
    saw(acme.staging, "user-1", attributes={"ward": "oncology"})
    cache.delete(f"console:attributes:{acme.staging.pk}")

    answer = attributes(console_outsider, acme.staging)

    assert answer.status_code == 404
    assert "ward" not in answer.text


def test_try__list_of_users__at_an_earlier_version(console_viewer, config):
    before = config.environment.changes.order_by("-version").first().version
    services.update_flag(
        actor=ALICE, environment=config.environment, key="new-checkout", payload={"enabled": False}, version=None
    )
    asked = {"users": "bob\ncarol", "attributes": "country=US\nseats=9", "configVersion": before}

    then = console_viewer.get(url(config, "try"), asked).context
    now = console_viewer.get(url(config, "try"), {**asked, "configVersion": ""}).context

    assert (then["totals"], now["totals"]) == ([("treatment", 2)], [("control", 2)])
    assert "has the versions 0 to" in console_viewer.get(url(config, "try"), {**asked, "configVersion": 999}).text


def test_try_draft__list_of_users__gets_what_the_unsaved_form_says(console_editor, config):
    form = fields(console_editor, config, defaultVariant="treatment", rules=[]) | {"try-users": "bob\ncarol"}

    answer = console_editor.post(url(config, "try_draft"), form)

    assert answer.context["totals"] == [("treatment", 2)]
    assert "with your unsaved change" in answer.text
    assert FlagConfig.objects.get(pk=config.pk).version == 1


def test_flag__rules_ask_for_segments__links_to_them(console_viewer, acme):
    segment, _ = services.create_segment(actor=ALICE, environment=acme.staging, payload={"key": "beta", "name": "Beta"})
    rule = {
        "priority": 10,
        "variant": "treatment",
        "conditions": [{"operator": "in_segment", "value": ["beta"]}],
    }
    config = services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "search", "rules": [rule]})[0]

    page = console_viewer.get(url(config, "change"))

    assert page.context["asked_segments"] == [segment]
    assert reverse("admin:flags_segment_change", args=[segment.pk]) in page.text
