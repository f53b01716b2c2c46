"""Routes and bodies under other names: the same services, answers and errors, in the manner that was asked in."""

import asyncio

import orjson
import pytest
from asgiref.testing import ApplicationCommunicator

from flags.propagation.runtime import RUNTIME
from flagship.serving import stream_aliases
from tenancy.testing import Caller

RULES = [
    {
        "priority": 1,
        "variant": "treatment",
        "conditions": [{"attribute": "plan", "operator": "equals", "value": "pro"}],
    }
]


@pytest.fixture
def service(key, make_flag):
    make_flag("a", rules=RULES)
    caller = key()
    RUNTIME.refresh()
    return caller


SNAKE = {"flag_key": "a", "user": {"id": "u", "attributes": {"plan": "pro"}}}
CONTEXT = {"envKey": "production", "flagKey": "a", "context": {"userId": "u", "plan": "pro"}}


def test_evaluate__in_snake_case__is_answered_so(service):
    ours = service.post("evaluate", {"flagKey": "a", "userId": "u", "attributes": {"plan": "pro"}}).json()

    answer = service.post("evaluate", SNAKE).json()

    assert (answer["flag_key"], answer["user_id"], answer["rule_id"]) == ("a", "u", ours["ruleId"])
    assert (answer["variant"], answer["variation"], answer["value"]) == ("treatment", "treatment", True)
    assert {"evaluation_id", "config_version", "reason"} <= answer.keys()
    assert not answer.keys() & {"flagKey", "userId", "ruleId"}


@pytest.mark.parametrize(
    "context",
    [
        {"userId": "u", "plan": "pro"},
        {"targetingKey": "u", "plan": "pro"},
        {"key": "u", "attributes": {"plan": "pro"}},
    ],
    ids=["userId", "targetingKey", "nested"],
)
def test_evaluate__with_a_context__is_answered_with_its_variation(service, context):
    answer = service.post("evaluate", {**CONTEXT, "context": context}).json()

    assert (answer["variation"], answer["userId"], answer["reason"]) == ("treatment", "u", "RULE_MATCH")


@pytest.mark.parametrize(
    ("body", "status", "attr"),
    [
        ({**SNAKE, "flagKey": "a"}, 400, "flagKey"),
        ({**SNAKE, "user": {"id": "u", "plan": "pro"}}, 400, "user.plan"),
        ({**SNAKE, "user": "u"}, 400, "user"),
        ({**SNAKE, "flag_key": 7}, 400, "flagKey"),
        ({**CONTEXT, "context": []}, 400, "context"),
        ({**CONTEXT, "envKey": 7}, 400, "envKey"),
        ({**CONTEXT, "surprise": 1}, 400, "surprise"),
        ({**CONTEXT, "envKey": "staging"}, 404, None),
    ],
)
def test_evaluate__another_form_that_is_wrong__is_refused_by_name(service, body, status, attr):
    answer = service.post("evaluate", body)

    assert answer.status_code == status
    assert answer.json()["errors"][0]["attr"] == attr


def test_evaluate__unknown_flag__is_404_with_the_default(service):
    answer = service.post("evaluate", {"flag_key": "nope", "user": {"id": "u"}, "default_value": 3})

    assert (answer.status_code, answer.json()["error_code"], answer.json()["value"]) == (404, "FLAG_NOT_FOUND", 3)


def test_evaluate__by_a_service_accounts_jwt__is_answered_where_its_role_is(service, owner, environment):
    def jwt(name, **where):
        account = owner.post("service-accounts", {"name": name, "role": "viewer", **where}).json()
        sent = {"clientId": account["clientId"], "clientSecret": account["clientSecret"]}
        return Caller(Caller("").post("auth/token", sent).json()["accessToken"], "acme")

    owner.post("projects", {"key": "beside", "name": "Beside"})
    allowed, elsewhere = jwt("bot", project="web"), jwt("other", project="beside")

    assert allowed.post("evaluate", SNAKE).json()["variation"] == "treatment"
    assert allowed.post("flags/evaluate/all", {"userId": "u"}).json()["flags"]["a"]["variant"] == "control"
    assert elsewhere.post("evaluate", SNAKE).status_code == 404
    assert owner.post("evaluate", SNAKE).status_code == 403


def test_routes__under_other_names__answer_as_their_own(service, owner, viewer, client):
    assert owner.get("orgs").json() == owner.get("organizations").json()
    assert owner.get("orgs/acme").json()["slug"] == "acme"
    preview = {"flagKey": "a", "userId": "u"}
    assert viewer.post("evaluate/preview", preview).json()["variant"] == "control"
    assert owner.post("flags/a/publish").json() == {
        "flagKey": "a", "version": 1, "configVersion": RUNTIME.environments[max(RUNTIME.environments)].version,
        "published": False,
    }  # fmt: skip
    assert viewer.post("flags/a/publish").status_code == 403
    assert client.get("/v1/events")["Location"].endswith("/v1/events")
    for path, status in (("/live", 200), ("/health", 200), ("/ready", 200)):
        assert client.get(path).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("post", "/evaluate", {"flagKey": "a", "userId": "u"}, 200),
        ("get", "/configs/production", None, 200),
        ("get", "/configs/staging", None, 404),
        ("get", "/stream/production", None, 307),
        ("post", "/events/metrics", {"events": []}, 202),
    ],
)
def test_data_plane__without_a_prefix__answers(service, client, *, method, path, body, status):
    headers = {"Authorization": f"Bearer {service.secret}"}
    sent = {} if body is None else {"data": body, "content_type": "application/json"}

    assert getattr(client, method)(path, headers=headers, **sent).status_code == status


@pytest.mark.django_db(transaction=True)
def test_stream_process__answers_them_too_within_its_bounds(environment, make_flag, key, settings):
    make_flag("a", rules=RULES)
    caller = key()
    RUNTIME.refresh()

    async def ask(path, body):
        headers = [(b"authorization", f"Bearer {caller.secret}".encode()), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "method": "POST", "path": path, "query_string": b"", "root_path": "",
            "headers": [*headers, (b"x_forwarded_for", b"9.9.9.9")], "server": ("testserver", 80),
            "client": ("127.0.0.1", 1), "scheme": "http", "http_version": "1.1",
        }  # fmt: skip
        asked = ApplicationCommunicator(stream_aliases.answer, scope)
        await asked.send_input({"type": "http.request", "body": body[:9], "more_body": True})
        await asked.send_input({"type": "http.request", "body": body[9:], "more_body": False})
        started = await asked.receive_output(20)
        return started["status"], orjson.loads((await asked.receive_output(20))["body"])

    settings.ALLOWED_HOSTS = ["*"]
    status, answer = asyncio.run(ask("/evaluate", orjson.dumps(SNAKE)))
    assert (status, answer.get("variation")) == (200, "treatment"), answer
    settings.MAX_BODY_BYTES = 1024
    status, answer = asyncio.run(ask("/evaluate", b'{"flagKey": "' + b"x" * 2000 + b'"}'))
    assert (status, answer["errors"][0]["code"]) == (413, "payload_too_large")
