"""Evaluate over HTTP: the answer's fields, what it logs, what wrong input gets, and that it asks no other server."""

from datetime import timedelta
from uuid import UUID

import orjson
import pytest
from django.test import Client
from django.utils import timezone

from analytics.pipeline.exposure_buffer import EXPOSURES
from audit.actors import Actor
from flags import services
from flags.propagation.runtime import RUNTIME
from tenancy import services as tenancy
from tenancy.authentication.keyring import KEYRING

ACTOR = Actor(kind="user", id="1", label="alice")


@pytest.fixture
def environment(db):
    organization = tenancy.create_organization(actor=ACTOR, slug="acme", name="Acme")
    project = tenancy.create_project(actor=ACTOR, organization=organization, key="web", name="Web")
    return tenancy.create_environment(actor=ACTOR, project=project, key="production", name="Production")


@pytest.fixture
def flag(environment):
    config, _ = services.create_flag(
        actor=ACTOR,
        environment=environment,
        payload={
            "key": "new-checkout",
            "enabled": True,
            "rules": [
                {
                    "priority": 1,
                    "variant": "treatment",
                    "conditions": [{"attribute": "country", "operator": "equals", "value": "DE"}],
                }
            ],
            "rollout": [{"variant": "treatment", "percent": 25}],
        },
    )
    return config


@pytest.fixture
def recorded(monkeypatch):
    """What the buffer was given, instead of Redis: these tests are about the view."""
    calls = []
    monkeypatch.setattr(EXPOSURES, "add", lambda *args: calls.append(args))
    return calls


@pytest.fixture
def issue(environment):
    def _issue(kind="server", **given):
        return tenancy.issue_credential(
            actor=ACTOR,
            kind=kind,
            name="checkout",
            organization=environment.project.organization,
            environment=environment,
            **given,
        )

    return _issue


@pytest.fixture
def post(flag, issue, recorded):
    secret = issue().secret
    RUNTIME.refresh()
    client = Client()

    def _post(body, *, path="/api/flags/evaluate", secret=secret, content=None):
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        data = orjson.dumps(body) if content is None else content
        return client.post(path, data, content_type="application/json", headers=headers)

    return _post


def test_evaluate__works(post, flag, recorded):
    response = post({"flagKey": "new-checkout", "userId": "user-1"})

    body = response.json()
    assert response.status_code == 200
    UUID(body.pop("evaluationId"))
    assert body == {
        "flagKey": "new-checkout",
        "userId": "user-1",
        "variant": "treatment",
        "value": True,
        "reason": "ROLLOUT",
        "configVersion": 1,
        "stale": False,
    }
    (exposure,) = recorded
    assert exposure[0] == flag.environment_id
    assert exposure[2:9] == ("new-checkout", "user-1", "treatment", "ROLLOUT", None, None, 1)


@pytest.mark.parametrize("path", ["/api/evaluate", "/v1/flags/evaluate", "/v1/evaluate"])
def test_evaluate__every_alias__answers_the_same(post, path):
    assert post({"flagKey": "new-checkout", "userId": "user-1"}, path=path).json()["variant"] == "treatment"


def test_evaluate__rule_matches__names_the_rule(post, flag):
    body = post({"flagKey": "new-checkout", "userId": "42", "attributes": {"country": "DE"}}).json()

    assert (body["reason"], body["variant"]) == ("RULE_MATCH", "treatment")
    assert body["ruleId"] == str(flag.rules.get().pk)


def test_evaluate__thousand_times__gives_one_variant(post):
    assert {post({"flagKey": "new-checkout", "userId": "user-7"}).json()["variant"] for _ in range(1000)} == {"control"}


def test_evaluate__any_answer__asks_no_database_and_no_redis(post, django_assert_num_queries, monkeypatch):
    import redis.connection  # noqa: PLC0415 - patched for this test alone

    def refuse(*_args, **_kwargs):
        raise AssertionError("the evaluate path must not speak to Redis")

    with monkeypatch.context() as patched, django_assert_num_queries(0):
        patched.setattr(redis.connection.AbstractConnection, "send_packed_command", refuse)
        assert post({"flagKey": "new-checkout", "userId": "user-1"}).status_code == 200


def test_evaluate__unknown_flag__is_404_with_the_default(post, recorded):
    response = post({"flagKey": "nope", "userId": "u", "defaultValue": {"a": 1}})

    assert response.status_code == 404
    body = response.json()
    assert (body["reason"], body["errorCode"], body["value"]) == ("ERROR", "FLAG_NOT_FOUND", {"a": 1})
    assert recorded == []


@pytest.mark.parametrize("user", [{}, {"userId": None}, {"userId": ""}])
def test_evaluate__no_user__is_served_without_bucketing_and_without_exposure(post, recorded, user):
    body = post({"flagKey": "new-checkout", **user}).json()

    assert (body["reason"], body["detail"], body["variant"]) == ("DEFAULT", "no_unit", "control")
    assert recorded == []


@pytest.mark.parametrize(
    ("sent", "attr"),
    [
        ({"content": b""}, None),
        ({"content": b"{flagKey"}, None),
        ({"content": b'"text"'}, None),
        ({"content": b"\xff\xfe"}, None),
        ({"body": {"userId": "u"}}, "flagKey"),
        ({"body": {"flagKey": 7}}, "flagKey"),
        ({"body": {"flagKey": "new-checkout", "userId": 7}}, "userId"),
        ({"body": {"flagKey": "new-checkout", "userId": "x" * 1025}}, "userId"),
        ({"body": {"flagKey": "new-checkout", "attributes": []}}, "attributes"),
        ({"body": {"flagKey": "new-checkout", "attributes": {f"a{n}": n for n in range(101)}}}, "attributes"),
        ({"body": {"flagKey": "new-checkout", "attributes": {"a": "x" * 33_000}}}, "attributes"),
        ({"body": {"flagKey": "new-checkout", "country": "DE"}}, "country"),
    ],
)
def test_evaluate__wrong_input__is_400_naming_the_field(post, sent, attr):
    response = post(sent.get("body"), content=sent.get("content"))

    assert response.status_code == 400
    body = response.json()
    assert set(body) == {"type", "errors", "requestId"}
    assert [error["attr"] for error in body["errors"]] == [attr]
    assert body["requestId"] == response["X-Request-ID"]


def test_evaluate__nested_attribute__is_accepted_and_matches_nothing(post):
    body = post({"flagKey": "new-checkout", "userId": "42", "attributes": {"country": {"code": "DE"}}}).json()

    assert body["reason"] == "DEFAULT"


def test_evaluate__oversized_body__is_413(post, settings):
    response = post({"flagKey": "new-checkout", "defaultValue": "x" * settings.MAX_BODY_BYTES})

    assert response.status_code == 413
    assert response.json()["errors"][0]["code"] == "payload_too_large"


@pytest.mark.parametrize("secret", [None, "", "nonsense", "fs_server_aaaaaaaa" + "b" * 43])
def test_evaluate__no_live_credential__is_401(post, secret):
    response = post({"flagKey": "new-checkout"}, secret=secret)

    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["type"] == "client_error"


def test_evaluate__revoked_key__is_401(post, issue):
    issued = issue()
    KEYRING.refresh()
    assert post({"flagKey": "new-checkout"}, secret=issued.secret).status_code == 200
    tenancy.revoke_credential(actor=ACTOR, credential=issued.credential)
    KEYRING.refresh()

    assert post({"flagKey": "new-checkout"}, secret=issued.secret).status_code == 401


def test_evaluate__expired_key__is_401(post, issue):
    issued = issue(expires_at=timezone.now() - timedelta(minutes=1))
    KEYRING.refresh()

    assert post({"flagKey": "new-checkout"}, secret=issued.secret).status_code == 401


def test_evaluate__key_of_another_tenant__sees_only_its_own_flags(post, environment):
    organization = tenancy.create_organization(actor=ACTOR, slug="rival", name="Rival")
    project = tenancy.create_project(actor=ACTOR, organization=organization, key="web", name="Web")
    theirs = tenancy.create_environment(actor=ACTOR, project=project, key="production", name="Production")
    issued = tenancy.issue_credential(
        actor=ACTOR, kind="server", name="theirs", organization=organization, environment=theirs
    )
    RUNTIME.refresh()

    response = post({"flagKey": "new-checkout", "userId": "user-1"}, secret=issued.secret)
    assert response.status_code == 404
    assert response.json()["errorCode"] == "FLAG_NOT_FOUND"


def test_evaluate__tenant_header_of_another_organization__is_403(post, issue):
    secret = issue().secret
    KEYRING.refresh()
    response = Client().post(
        "/api/evaluate",
        b'{"flagKey": "new-checkout"}',
        content_type="application/json",
        headers={"Authorization": f"Bearer {secret}", "X-Tenant-ID": "rival"},
    )

    assert response.status_code == 403


def test_evaluate__other_method__is_405_in_the_same_form(post):
    response = Client().get("/api/flags/evaluate")

    assert response.status_code in {401, 405}
    assert set(response.json()) == {"type", "errors", "requestId"}


def test_no_such_route__under_the_api__is_404_in_the_same_form(db):
    response = Client().get("/api/nowhere", headers={"X-Request-ID": "mine-1"})

    assert response.status_code == 404
    assert response.json()["requestId"] == response["X-Request-ID"] == "mine-1"


def test_evaluate_all__works(post, recorded):
    body = post({"userId": "user-1"}, path="/api/flags/evaluate/all").json()

    assert body["flags"]["new-checkout"]["variant"] == "treatment"
    # The flag belongs to no experiment.
    assert recorded == []


@pytest.mark.parametrize(("exposures", "logged"), [("none", 0), ("experiments", 0), ("all", 1)])
def test_evaluate_all__logs_the_exposures_that_are_asked_for(post, recorded, exposures, logged):
    body = post({"userId": "user-1"}, path=f"/api/flags/evaluate/all?exposures={exposures}").json()

    assert body["flags"]["new-checkout"]["variant"] == "treatment"
    assert [call[13] for call in recorded] == [True] * logged


def test_evaluate_all__other_exposures__are_refused_by_name(post):
    response = post({"userId": "user-1"}, path="/api/flags/evaluate/all?exposures=some")

    assert (response.status_code, response.json()["errors"][0]["attr"]) == (400, "exposures")


def test_evaluate_all__named_flags__gives_those_alone(post):
    body = post({"userId": "user-1", "flagKeys": ["nope"]}, path="/api/flags/evaluate/all").json()

    assert body["flags"]["nope"]["errorCode"] == "FLAG_NOT_FOUND"
    assert list(body["flags"]) == ["nope"]
