"""Rate limits and idempotency: headers, refusals, and answers that are given again but done once."""

import threading
from types import SimpleNamespace
from unittest.mock import Mock
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from openflagship.wire import limits
from openflagship.wire.limits import Buckets
from redis import exceptions

from flags.models import Flag
from flags.propagation.runtime import RUNTIME
from tenancy.admin.testing import signed_in
from tenancy.callers import shared_limits
from tenancy.callers.addresses import address_of
from tenancy.callers.shared_limits import SharedLimits, usage_of
from tenancy.models import Credential, IdempotentRequest, Membership, User


def problem(response):
    (found,) = response.json()["errors"]
    return response.status_code, found["attr"], found["code"]


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """The buckets' clock, which stands still until a test moves it: no bucket fills while a slow machine thinks.

    The clock of what processes count together stands still as well: no minute ends between a count and a look.
    """
    seconds = [1000.0]
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    monkeypatch.setattr(shared_limits, "time", SimpleNamespace(time=lambda: 60_000_000.0))
    return seconds


def test_take__bucket_empty__refuses_until_it_refills(now):
    buckets = Buckets()
    verdicts = [buckets.take("a", 60) for _ in range(61)]

    assert [verdict.is_allowed for verdict in verdicts] == [True] * 60 + [False]
    assert dict(verdicts[0].headers) == {"RateLimit-Limit": "60", "RateLimit-Remaining": "59", "RateLimit-Reset": "1"}
    assert verdicts[-1].retry_after_seconds == 1
    assert buckets.take("b", 60).is_allowed
    now[0] += 2
    assert [buckets.take("a", 60).is_allowed for _ in range(3)] == [True, True, False]


def test_answers__carry_what_is_left(viewer, settings):
    settings.RATE_LIMIT_MANAGEMENT = 5
    first, second = viewer.get("flags"), viewer.get("flags")

    assert (first.headers["RateLimit-Limit"], first.headers["RateLimit-Remaining"]) == ("5", "4")
    assert second.headers["RateLimit-Remaining"] == "3"
    assert second.headers["RateLimit-Reset"] == "24"


def test_credential__over_its_limit__is_429_and_others_are_not(viewer, editor, settings):
    settings.RATE_LIMIT_MANAGEMENT = 2
    statuses = [viewer.get("flags").status_code for _ in range(3)]
    response = viewer.get("flags")

    assert statuses == [200, 200, 429]
    assert problem(response) == (429, None, "rate_limited")
    assert int(response.headers["Retry-After"]) >= 1
    assert response.headers["RateLimit-Remaining"] == "0"
    assert editor.get("flags").status_code == 200


def test_address__over_its_limit__is_429_before_anything_is_asked(db, settings, django_assert_num_queries):
    settings.RATE_LIMIT_ADDRESS = 1
    Client().get("/api/flags")
    with django_assert_num_queries(0):
        response = Client().get("/api/flags")

    assert problem(response) == (429, None, "rate_limited")
    assert "Retry-After" in response.headers
    assert Client().get("/healthz").status_code == 200


def test_address__without_a_credential__has_a_limit_of_its_own(viewer, settings):
    settings.RATE_LIMIT_ANONYMOUS = 2
    statuses = [
        Client().get(path).status_code for path in ("/admin/login/", "/api/docs/", "/api/schema/", "/admin/login/")
    ]

    assert statuses == [200, 200, 429, 429]
    assert viewer.get("flags").status_code == 200
    assert Client().get("/healthz").status_code == 200


def test_address__behind_a_trusted_proxy__is_what_the_proxy_says(db, settings):
    settings.RATE_LIMIT_ADDRESS, settings.TRUST_PROXY_HEADERS = 1, True

    def status(forwarded):
        return Client().get("/api/flags", headers={"X-Forwarded-For": forwarded}).status_code

    assert [status("spoofed, 10.0.0.1"), status("other, 10.0.0.1"), status("10.0.0.2")] == [401, 429, 401]


@pytest.mark.parametrize(
    ("peer", "forwarded", "hops", "address"),
    [
        ("127.0.0.1", "1.2.3.4, 198.51.100.7", 1, "198.51.100.7"),
        ("127.0.0.1", "1.2.3.4, 10.1.2.3", 1, "10.1.2.3"),
        ("127.0.0.1", "1.2.3.4, 198.51.100.7, 10.0.0.2", 2, "198.51.100.7"),
        ("127.0.0.1", "198.51.100.7", 2, "127.0.0.1"),
        ("127.0.0.1", "1.2.3.4, nonsense", 1, "127.0.0.1"),
        ("198.51.100.7", "1.2.3.4", 1, "198.51.100.7"),
        ("::1", "1.2.3.4, [2001:db8::1]", 1, "2001:db8::1"),
        ("::ffff:10.0.0.1", "1.2.3.4, 198.51.100.7", 1, "198.51.100.7"),
        ("::ffff:198.51.100.7", "1.2.3.4", 1, "::ffff:198.51.100.7"),
    ],
)
def test_address__of_a_header_that_was_made_up__is_not_believed(settings, peer, forwarded, hops, address):
    settings.TRUST_PROXY_HEADERS, settings.TRUSTED_PROXY_HOPS = True, hops

    assert address_of({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}) == address


def test_limit__of_two_processes__is_one(monkeypatch):
    processes = [(Buckets(), SharedLimits()) for _ in range(2)]
    caller, taken = f"key-{uuid4()}", 0
    for _ in range(10):
        for buckets, shared in processes:
            monkeypatch.setattr(shared_limits, "BUCKETS", buckets)
            taken += sum(buckets.take(caller, 60).is_allowed for _ in range(10))
            shared.count()

    # Each count is one interval behind, in which the other process may have let ten through.
    assert 60 <= taken <= 70


@pytest.mark.parametrize(("error", "counted"), [(exceptions.ConnectionError, 5), (exceptions.TimeoutError, 2)])
def test_count__redis_fails__is_made_up_for_unless_it_may_have_been_added(monkeypatch, error, counted):
    buckets, shared, caller = Buckets(), SharedLimits(), f"key-{uuid4()}"
    monkeypatch.setattr(shared_limits, "BUCKETS", buckets)
    for _ in range(3):
        buckets.take(caller, 60)
    with monkeypatch.context() as patched:
        patched.setattr(shared_limits, "_add", Mock(side_effect=error))
        with pytest.raises(error):
            shared.count()
    for _ in range(2):
        buckets.take(caller, 60)
    shared.count()

    assert usage_of(caller).this_minute == counted


def test_usage__of_a_key__is_on_its_page(environment, key, owner):
    caller = key()
    RUNTIME.refresh()
    for _ in range(3):
        caller.post("evaluate", {"flagKey": "a"})
    SharedLimits().count()
    credential = Credential.objects.get(kind="server")
    page = signed_in(User.objects.get(username="owner-of-acme"))

    shown = page.get(reverse("admin:tenancy_credential_change", args=[credential.pk])).text
    assert "3 in this minute, 3 in the last hour, 3 in its busiest minute; the limit is 600,000 a minute" in shown


def test_evaluate__limited__asks_no_database(key, make_flag, settings, django_assert_num_queries):
    settings.RATE_LIMIT_KEY = 1
    make_flag("a")
    caller = key()
    RUNTIME.refresh()
    caller.post("flags/evaluate", {"flagKey": "a", "userId": "u"})
    with django_assert_num_queries(0):
        assert caller.post("flags/evaluate", {"flagKey": "a", "userId": "u"}).status_code == 429


def test_idempotency_key__sent_again__is_answered_again_and_done_once(editor):
    headers = {"Idempotency-Key": "k-1"}
    first = editor.post("flags", {"key": "a"}, headers=headers)
    again = editor.post("flags", {"key": "a"}, headers=headers)

    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Flag.objects.count() == 1


def test_idempotency_key__object_is_gone_by_the_first_request__is_answered_again(admin, make_flag):
    make_flag("a")
    body, headers = {"confirm": "a"}, {"Idempotency-Key": "k-1"}
    assert admin.delete("flags/a").status_code == 200

    statuses = [admin.post("flags/a/purge", body, headers=headers).status_code for _ in range(2)]

    assert statuses == [204, 204]


def test_idempotency_key__other_body__is_409(editor):
    editor.post("flags", {"key": "a"}, headers={"Idempotency-Key": "k-1"})
    response = editor.post("flags", {"key": "b"}, headers={"Idempotency-Key": "k-1"})

    assert problem(response) == (409, "Idempotency-Key", "idempotency_conflict")
    assert not Flag.objects.filter(key="b").exists()


def test_idempotency_key__refused_before__is_tried_again(editor):
    headers = {"Idempotency-Key": "k-1"}
    assert editor.post("flags/a/kill", {}, headers=headers).status_code == 404
    editor.post("flags", {"key": "a"})

    assert editor.post("flags/a/kill", {}, headers=headers).status_code == 202


def test_idempotency_key__of_somebody_else__is_their_own(editor, admin):
    editor.post("flags", {"key": "a"}, headers={"Idempotency-Key": "k-1"})

    assert admin.post("flags", {"key": "b"}, headers={"Idempotency-Key": "k-1"}).status_code == 201


def test_idempotency_key__on_a_credential__the_secret_is_not_kept(admin):
    body = {"kind": "server", "name": "x", "environment": "production"}
    first = admin.post("credentials", body, headers={"Idempotency-Key": "k-1"}).json()
    again = admin.post("credentials", body, headers={"Idempotency-Key": "k-1"}).json()

    assert again == {**first, "secret": None}
    assert Credential.objects.filter(kind="server").count() == 1
    assert first["secret"] not in str(list(IdempotentRequest.objects.values()))


def test_idempotency_key__older_than_a_day__is_forgotten(editor):
    headers = {"Idempotency-Key": "k-1"}
    editor.post("flags", {"key": "a"}, headers=headers)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenancy_idempotentrequest SET created_at = now() - interval '25 hours'")

    assert editor.post("flags", {"key": "b"}, headers=headers).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_idempotency_key__two_at_once__are_one_act(editor, environment):
    statuses = []

    def create():
        statuses.append(
            editor.send("post", "flags", {"key": "a"}, headers={"Idempotency-Key": "k-1"}).headers.get(
                "Idempotency-Replayed"
            )
        )
        connection.close()

    threads = [threading.Thread(target=create) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert sorted(statuses, key=str) == [None, "true"]


def test_idempotency_key__sent_again_after_the_role_is_gone__is_403(editor):
    headers = {"Idempotency-Key": "k-1"}
    assert editor.post("flags", {"key": "a"}, headers=headers).status_code == 201
    Membership.objects.update(role="viewer")

    assert problem(editor.post("flags", {"key": "a"}, headers=headers))[0] == 403
    Membership.objects.all().delete()
    assert problem(editor.post("flags", {"key": "a"}, headers=headers))[0] == 404
