"""What is refused at the doors: lookups of the caller's making, weak secrets, costly rules, silent no-ops."""

import csv
import importlib
import io
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.test import Client
from django.urls import reverse
from openflagship.wire import cross_origin

from analytics.selectors import answer_within
from audit.export_formats import csv_rows
from audit.models import Entry
from experiments.models import Experiment
from flags.services import create_flag
from flagship.openapi import document as schema
from flagship.servers.addresses import STATEMENT_SECONDS
from flagship.servers.database_sessions import limit_requests
from tenancy import services
from tenancy.admin.testing import signed_in
from tenancy.authentication.attempts import Attempts
from tenancy.callers.statements import long_statements
from tenancy.errors import Invalid, RateLimited, Unavailable
from tenancy.models import User
from tenancy.roles import Role
from tenancy.testing import ALICE

LISTS = [
    "audit_entry", "flags_flagconfig", "flags_segment", "flags_layer", "experiments_experiment", "experiments_metric",
    "tenancy_project", "tenancy_environment", "tenancy_membership", "tenancy_credential", "tenancy_serviceaccount",
]  # fmt: skip
LAST_DATE = "9999-12-31T23:59:59Z"


def problem(response):
    (found,) = response.json()["errors"]
    return response.status_code, found["attr"], found["code"]


@pytest.mark.parametrize("model", LISTS)
def test_list__lookup_that_no_filter_declares__is_400(console_owner, model):
    address = reverse(f"admin:{model}_changelist")
    for lookup in ("hash__regex=(.%2B)(.%2B)", "id__gt=1", "organization_id=1", "environment__project__key=web"):
        assert console_owner.get(f"{address}?{lookup}", follow=True).status_code == 400, lookup
    assert console_owner.get(f"{address}?q=x&p=0&o=1", follow=True).status_code == 200


def test_list__lookup_of_its_own_filters__works(console_owner):
    for address in (
        "audit_entry_changelist?action=flag.created&occurred_at_from=2026-01-05T09:00&occurred_at_from_zone=UTC",
        "tenancy_credential_changelist?kind__exact=server",
        "experiments_experiment_changelist?status__exact=draft",
        "flags_flagconfig_changelist?state=on&tag=pay",
    ):
        name, _, query = address.partition("?")
        assert console_owner.get(f"{reverse(f'admin:{name}')}?{query}", follow=True).status_code == 200, address


def test_audit__member_of_one_environment__sees_what_happened_there_alone(acme, person):
    for environment in (acme.production, acme.staging):
        create_flag(actor=ALICE, environment=environment, payload={"key": f"of-{environment.key}"})
    theirs = signed_in(person(Role.VIEWER, acme.organization, "stu", project=acme.project, environment=acme.staging))
    entry = Entry.objects.get(environment="production", entity_key="of-production")

    shown = theirs.get(reverse("admin:audit_entry_changelist")).text
    assert ("of-staging" in shown, "of-production" in shown) == (True, False)
    assert theirs.get(reverse("admin:audit_entry_change", args=[entry.pk])).status_code in {302, 404}
    exported = b"".join(theirs.get(reverse("admin:audit_entry_export")).streaming_content).decode()
    assert ("of-staging" in exported, "of-production" in exported) == (True, False)
    assert "of-production" not in theirs.get(reverse("admin:index"), follow=True).text


def test_dates__nobody_can_compute_with__are_refused_and_survived(owner, make_flag):
    make_flag("a")
    console = signed_in(User.objects.get(username="owner-of-acme"))
    owner.post("metrics", {"key": "m", "type": "binary", "eventName": "m"})
    draft = {"name": "E", "flagKey": "a", "primaryMetric": "m"}

    assert problem(owner.post("experiments", {**draft, "startsAt": LAST_DATE})) == (400, "startsAt", "out_of_range")
    created = owner.post("experiments", {**draft, "startsAt": "2099-12-31T23:59:59Z"})
    assert created.status_code == 201
    Experiment.objects.update(starts_at=LAST_DATE, ends_at=LAST_DATE)
    for name in ("admin:index", "console_health", "admin:experiments_experiment_jobs"):
        assert console.get(reverse(name), follow=True).status_code == 200, name
    assert owner.get("experiments").status_code == 200


@pytest.mark.parametrize("secret", ["changeme", "x" * 64, "short-but-random-9f3"])
def test_secret_key__easy_to_guess__is_refused_at_start(monkeypatch, secret):
    monkeypatch.setenv("SECRET_KEY", secret)

    with pytest.raises(ImproperlyConfigured, match="too easy to guess"):
        importlib.import_module("flagship.settings")._secret_key()


@pytest.mark.parametrize("password", ["correcthorse1", "1029384756102", "password123"])
def test_password__weak__is_refused(organization, password):
    with pytest.raises(Invalid):
        services.create_person(actor=ALICE, organization=organization, username="correcthorse1", password=password)


def test_settings__of_production__name_no_test_host_and_anchor_other_origins(settings):
    source = (settings.BASE_DIR / "flagship" / "settings.py").read_text()

    assert "testserver" not in source
    answers = [
        bool(cross_origin._PATHS.match(path))
        for path in ("/api/evaluate", "/api/evaluatexyz", "/ofrep/v1/evaluate/flags/a")
    ]
    assert answers == [True, False, True]


@pytest.mark.parametrize(
    ("pattern", "code"), [("^[a-z0-9._%+-]+@example[.]com$", 201), ("(a?){500}a{500}", 400), ("(.{1,100}){100}", 400)]
)
def test_pattern__that_costs_too_much__is_refused_where_it_is_written(editor, pattern, code):
    condition = {"attribute": "email", "operator": "matches", "value": pattern}
    answer = editor.post(
        "flags", {"key": "a", "rules": [{"priority": 1, "variant": "treatment", "conditions": [condition]}]}
    )
    segment = editor.post("segments", {"key": "s", "conditions": {"all": [condition]}})

    assert (answer.status_code, segment.status_code) == (code, code)
    if code == 400:
        assert answer.json()["errors"][0]["attr"].startswith("rules[0].conditions")


def test_lock_out__by_others__leaves_the_address_known_from_before(db, settings):
    cache.delete_pattern("*")
    settings.LOGIN_ATTEMPTS = 3

    def at(address, name="olga"):
        return Attempts.of(SimpleNamespace(META={"REMOTE_ADDR": address}, COOKIES={}), name)

    at("198.51.100.1").succeeded()
    for number in range(3):
        at(f"203.0.113.{number}", ("olga", "OLGA ", "\uff4f\uff4c\uff47\uff41")[number]).failed()

    with pytest.raises(RateLimited):
        at("203.0.113.9").refuse_if_too_many()
    at("198.51.100.1").refuse_if_too_many()
    for _ in range(3):
        at("198.51.100.1").failed()
    with pytest.raises(RateLimited):
        at("198.51.100.1").refuse_if_too_many()
    cache.delete_pattern("*")


def test_lock_out__by_others_at_the_same_address__leaves_the_browser_known_from_before(organization, settings):
    cache.delete_pattern("*")
    settings.LOGIN_ATTEMPTS = 2
    password = "correct horse battery"
    services.create_person(actor=ALICE, organization=organization, username="olga", password=password)

    def sign_in(client, secret):
        return client.post(reverse("admin:login"), {"username": "olga", "password": secret}).status_code

    known, stranger = Client(), Client()
    assert sign_in(known, password) == 302
    known.cookies.pop(settings.SESSION_COOKIE_NAME)
    for _ in range(3):
        assert sign_in(stranger, "a guess") == 200
    assert (sign_in(stranger, password), sign_in(known, password)) == (200, 302)
    cache.delete_pattern("*")


def test_csv__text_like_a_formula__stays_text_and_numbers_stay_numbers():
    texts = ["=HYPERLINK(1)", " +1", "-2", "@a", "\t=1", "\uff1d1", "plain"]
    row = next(csv.reader(io.StringIO("".join(csv_rows([[*texts, -2.5, None, {"a": "=1"}]])))))

    assert row == [*(f"'{text}" for text in texts[:-1]), "plain", "-2.5", "", '{"a":"=1"}']


def test_schema__asked_again__is_not_made_again(db, monkeypatch):
    made = []
    plain = schema.SchemaView._get_schema_response
    monkeypatch.setattr(
        schema.SchemaView, "_get_schema_response", lambda self, request: made.append(1) or plain(self, request)
    )
    first, second = (Client().get("/api/schema/?format=json&version=2") for _ in range(2))

    assert first.content == second.content
    assert b'"version":"1"' in first.content.replace(b" ", b"")
    assert len(made) == 1


def test_patch__of_what_is_only_shown__is_400_and_names_the_route(editor, make_flag):
    make_flag("a")
    read = editor.get("flags/a").json()

    killed = editor.patch("flags/a", {"version": 1, "killSwitchVariant": "control"})
    assert problem(killed) == (400, "killSwitchVariant", "read_only")
    assert "flags/{key}/kill" in killed.json()["errors"][0]["detail"]
    assert problem(editor.patch("flags/a", {"version": 1, "status": "archived"})) == (400, "status", "read_only")
    assert problem(editor.post("flags", {"key": "b", "killSwitchVariant": "control"}))[2] == "read_only"
    assert editor.put("flags/a", {**read, "enabled": True}).status_code == 200


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("audit", {"flag_key": "x"}, "unknown_parameter"),
        ("flags", {"author": "me"}, "unknown_parameter"),
        ("flags", {"pageSize": "201"}, "out_of_range"),
        ("flags", {"pageSize": "0"}, "out_of_range"),
    ],
)
def test_parameter__unknown_or_out_of_range__is_400(viewer, path, query, code):
    answer = viewer.get(path, **query)

    assert problem(answer) == (400, next(iter(query)), code)
    assert viewer.get("flags", pageSize=200).status_code == 200


def test_statements__of_the_web_process__end_after_their_time(db, monkeypatch, settings):
    settings.STATEMENT_TIMEOUT_SECONDS = 3
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", {"options": "-c application_name=x"})
    monkeypatch.setitem(STATEMENT_SECONDS, settings.PROCESS_NAME, 0)
    limit_requests()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout'), current_setting('application_name')")
            assert cursor.fetchone() == ("3s", "x")
        # PgBouncer refuses a connection that asks for it at its start.
        assert "statement_timeout" not in str(other.settings_dict["OPTIONS"])
    finally:
        other.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("own", "within"), [("3s", "1min"), ("0", "0"), ("2min", "2min"), ("500ms", "1min")])
def test_report__has_more_time_than_a_page__and_leaves_the_pages_limit_behind(own, within):
    def limit():
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            return cursor.fetchone()[0]

    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [own])
    try:
        with long_statements():
            assert limit() == within
            with answer_within(30, what="The answer"):
                assert limit() not in {own, within}
            assert limit() == within
        assert limit() == own
        with answer_within(30, what="The answer"):
            limit()
        assert limit() == own
        with answer_within(30, what="The answer"), long_statements():
            limit()
        assert limit() == own
        with (
            pytest.raises(Unavailable),
            long_statements(),
            answer_within(0.1, what="The answer"),
            connection.cursor() as slow,
        ):
            slow.execute("SELECT pg_sleep(30)")
        assert limit() == own
    finally:
        connection.close()
