"""What is read from requests: ids, conditions, media types, tokens and limits."""

from __future__ import annotations

import pytest
from openflagship.wire import bodies, conditional, limits, ofrep_tokens, request_ids, sse
from openflagship.wire.errors import RefusedError


@pytest.mark.parametrize("given", ["mine-1", "a.b_c", "x" * 100])
def test_request_id__fit_for_a_log__is_the_callers(given: str) -> None:
    assert request_ids.request_id_of(given, "other") == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 101, "id\n", "é", "<script>"])
def test_request_id__anything_else__is_another(given: str) -> None:
    assert request_ids.request_id_of(given, "other") == "other"
    assert len(request_ids.request_id_of(given)) == 36


@pytest.mark.parametrize(
    ("header", "is_known"),
    [("", False), ('"a"', True), ('"x", W/"a"', True), ("*", True), ('"x", *', True), ('"ab"', False), ("a", False)],
)
def test_if_none_match__any_header__says_whether_the_answer_is_known(header: str, is_known: bool) -> None:
    assert conditional.is_known(header, '"a"', '"a-gzip"') is is_known


@pytest.mark.parametrize("content_type", ["application/json", "APPLICATION/json ; charset=utf-8", "*/*"])
def test_media_type__json__passes(content_type: str) -> None:
    bodies.check_media_type(content_type)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/jsonl", "json"])
def test_media_type__anything_else__is_415(content_type: str) -> None:
    with pytest.raises(RefusedError) as caught:
        bodies.check_media_type(content_type)

    assert caught.value.status == 415


@pytest.mark.parametrize("content", [b"", b" ", b"{", b"NaN", b"\xff"])
def test_json__unreadable__is_a_parse_error_and_no_validation_error(content: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        bodies.read_json(content)

    body = caught.value.body("id-1")
    assert (caught.value.status, body["type"], body["errors"][0]["code"]) == (400, "client_error", "parse_error")


def test_token__changed_in_any_part__is_not_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    token = ofrep_tokens.make_token("fs_client_abc", "secret")
    subject, until, signature = token.split(".")

    assert ofrep_tokens.subject_of(token) == "fs_client_abc"
    assert ofrep_tokens.is_valid(token, "secret")
    for wrong in (
        "",
        "..",
        f"other.{until}.{signature}",
        f"{subject}.{int(until) + 1}.{signature}",
        f"{subject}.{until}.{signature[:-1]}",
        f"{subject}.²³.{signature}",
        f"{subject}.{until}.é",
    ):
        assert not ofrep_tokens.is_valid(wrong, "secret"), wrong
    assert not ofrep_tokens.is_valid(token, "other")
    monkeypatch.setattr(ofrep_tokens, "TOKEN_SECONDS", -1)
    assert not ofrep_tokens.is_valid(ofrep_tokens.make_token("a", "secret"), "secret")


@pytest.mark.parametrize(("text", "version"), [("7", 7), ("", None), ("-1", None), ("²", None), ("9" * 19, None)])
def test_last_event_id__no_version__asks_for_a_snapshot(text: str, version: int | None) -> None:
    assert sse.last_event_id(text) == version


def test_event__data_of_several_lines__stays_one_event() -> None:
    assert sse.event("a", b"1\n2", event_id=3) == b"id: 3\nevent: a\ndata: 1\ndata: 2\n\n"
    assert sse.event("a", b"1", signatures=("x", "y")) == b"signature: x\nsignature: y\nevent: a\ndata: 1\n\n"


def test_too_many_requests__says_when_to_come_back() -> None:
    buckets = limits.Buckets()
    first, second = buckets.take("a", 1), buckets.take("a", 1)
    error = limits.too_many_requests(second)

    assert (first.is_allowed, second.is_allowed, error.status) == (True, False, 429)
    headers = dict(error.headers)
    assert headers["RateLimit-Limit"] == "1"
    assert 1 <= int(headers["Retry-After"]) <= 60
