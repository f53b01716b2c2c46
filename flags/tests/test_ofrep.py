"""OFREP as the specification has it and as its clients need it, on the evaluation features' own flags."""

import json
from pathlib import Path

import orjson
import pytest
from django.test import Client

from analytics.pipeline.exposure_buffer import EXPOSURES
from flags.propagation.runtime import RUNTIME

CASES = Path(__file__).resolve().parents[2] / "sdk" / "contract" / "cases" / "ofrep"
FLAGS = json.loads((CASES / "flags.json").read_text())["flags"]
ROWS = [
    row
    for row in json.loads((CASES / "expectations.json").read_text())
    # A disabled flag serves its off variant here; what a client makes of a wrong type is the client's.
    if row.get("needs") != "code-default" and row["expected"].get("errorCode") != "TYPE_MISMATCH"
]
TYPES = {"integer": "number", "float": "number", "object": "json"}


def as_payload(flag):
    """The specification's flag in the words of our API."""
    return {
        **{name: value for name, value in flag.items() if name != "variants"},
        "type": TYPES.get(flag["type"], flag["type"]),
        "variants": [{"key": key, "value": value} for key, value in flag["variants"].items()],
    }


@pytest.fixture
def recorded(monkeypatch):
    calls = []
    monkeypatch.setattr(EXPOSURES, "add", lambda *args: calls.append(args))
    return calls


@pytest.fixture
def ask(environment, make_flag, key, recorded):
    for flag in FLAGS:
        make_flag(**as_payload(flag))
    caller = key("client")
    RUNTIME.refresh()
    client = Client()

    def _ask(flag=None, body=None, *, content=None, asked="", **headers):
        path = "/ofrep/v1/evaluate/flags" + (f"/{flag}" if flag else "") + asked
        return client.post(
            path,
            orjson.dumps(body or {}) if content is None else content,
            content_type="application/json",
            headers={"Authorization": f"Bearer {caller.secret}", **headers},
        )

    _ask.secret = caller.secret
    return _ask


def test_one__every_row_of_the_evaluation_features__answers_as_expected(ask):
    wrong = []
    for row in ROWS:
        response = ask(row["flag"], {"context": row["context"]})
        body, expected = response.json(), row["expected"]
        if "errorCode" in expected:
            seen = {"errorCode": body["errorCode"]}
            wanted = {"errorCode": expected["errorCode"]}
        else:
            body["metadata"].pop("evaluationId")
            seen = {name: body.get(name) for name in expected}
            wanted = expected
        if seen != wanted:
            wrong.append((row["scenario"], row["flag"], seen, wanted))

    assert len(ROWS) > 30
    assert wrong == []


def test_one__works(ask, recorded):
    response = ask("complex-targeted", {"context": {"targetingKey": "user-1", "customer": False, "age": 20}})

    assert response.status_code == 200
    assert response.json() == {
        "key": "complex-targeted",
        "reason": "DEFAULT",
        "variant": "external",
        "value": "EXTERNAL",
        "metadata": {"evaluationId": recorded[0][1]},
    }
    assert recorded[0][2:5] == ("complex-targeted", "user-1", "external")


def test_one__without_targeting_key__is_served_and_logs_no_exposure(ask, recorded):
    assert ask("boolean-flag", {"context": {}}).status_code == 200
    assert ask("boolean-flag", {}).status_code == 200
    assert recorded == []


def test_one__unknown_flag__is_404_in_the_protocols_form(ask):
    response = ask("nope", {"context": {"targetingKey": "u"}})

    assert response.status_code == 404
    assert response["Content-Type"] == "application/json"
    assert response.json()["key"] == "nope"
    assert response.json()["errorCode"] == "FLAG_NOT_FOUND"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"[]", "PARSE_ERROR"),
        (b'{"context": 7}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
    ],
)
def test_both__wrong_body__is_400_in_the_protocols_form(ask, content, code):
    one, bulk = ask("boolean-flag", content=content), ask(content=content)

    assert (one.status_code, bulk.status_code) == (400, 400)
    assert one.json()["key"] == "boolean-flag"
    assert "key" not in bulk.json()
    for response in (one, bulk):
        assert response.json()["errorCode"] == code
        assert response.json()["errorDetails"]


def test_one__float__is_written_as_a_float(ask):
    assert b'"value":1.0' in ask("float-targeted-zero-flag", {"context": {}}).content or (
        b'"value":0.0' in ask("float-targeted-zero-flag", {"context": {}}).content
    )


def test_both__api_key_header__is_a_credential_too(ask):
    response = Client().post(
        "/ofrep/v1/evaluate/flags/boolean-flag",
        b"{}",
        content_type="application/json",
        headers={"X-API-Key": ask.secret},
    )

    assert response.status_code == 200


def test_bulk__works(ask, recorded):
    response = ask(body={"context": {"targetingKey": "user-1"}})

    flags = {flag["key"]: flag for flag in response.json()["flags"]}
    assert len(flags) == len(FLAGS)
    assert flags["boolean-flag"]["value"] is True
    # None of them belongs to an experiment.
    assert recorded == []


def test_bulk__all_exposures_asked_for__logs_each_under_its_id_as_prefetched(ask, recorded):
    response = ask(body={"context": {"targetingKey": "user-1"}}, asked="?exposures=all")

    ids = {flag["key"]: flag["metadata"]["evaluationId"] for flag in response.json()["flags"]}
    assert {call[2]: call[1] for call in recorded} == ids
    assert len(recorded) == len(FLAGS)
    assert all(call[13] is True for call in recorded)


def test_bulk__other_exposures_asked_for__is_400_that_names_the_parameter(ask):
    response = ask(body={"context": {"targetingKey": "user-1"}}, asked="?exposures=some")

    assert (response.status_code, response.json()["errorCode"]) == (400, "GENERAL")
    assert response.json()["errorDetails"].startswith("exposures: Ask for one of none, experiments, all")


def test_bulk__etag_sent_back__is_304_until_the_result_changes(ask, recorded):
    first = ask(body={"context": {"targetingKey": "u", "email": "someone@example.com"}})
    recorded.clear()
    again = ask(
        body={"context": {"targetingKey": "u", "email": "someone@example.com"}},
        asked="?exposures=all",
        **{"If-None-Match": first["ETag"]},
    )
    other = ask(
        body={"context": {"targetingKey": "u", "email": "ballmer@macrosoft.com"}},
        asked="?exposures=all",
        **{"If-None-Match": first["ETag"]},
    )

    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert other.status_code == 200
    assert other["ETag"] != first["ETag"]
    assert len(recorded) == len(FLAGS)


def test_both__metadata_of_the_flags_own__does_not_pass_for_the_platforms(ask, make_flag, recorded):
    metadata = {"experiment": "mine", "ruleId": "mine", "stale": True, "exposures": "experiments", "team": "checkout"}
    make_flag(key="claims", metadata=metadata)
    RUNTIME.refresh()

    found = ask("claims", {"context": {"targetingKey": "u"}}).json()["metadata"]

    assert found.keys() == {"evaluationId", "team"}


def test_both__flag_that_logs_experiments_alone__says_so_and_logs_nothing(ask, make_flag, recorded):
    make_flag(key="quiet", exposures="experiments")
    RUNTIME.refresh()
    body = {"context": {"targetingKey": "u"}}

    one = ask("quiet", body).json()
    every = {each["key"]: each.get("metadata", {}) for each in ask(body=body, asked="?exposures=none").json()["flags"]}

    assert one["metadata"]["exposures"] == every["quiet"]["exposures"] == "experiments"
    assert sum("exposures" in metadata for metadata in every.values()) == 1
    assert recorded == []


def test_both__preflight_of_a_browser__is_allowed(ask):
    response = Client().options(
        "/ofrep/v1/evaluate/flags",
        headers={
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,if-none-match",
        },
    )

    assert response.status_code == 200
    assert response["Access-Control-Allow-Origin"] == "*"
    allowed = response["Access-Control-Allow-Headers"]
    assert all(name in allowed for name in ("authorization", "content-type", "if-none-match"))
