"""The conformance harness as tests: each service through each case that applies to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sdk.conformance.cases  # noqa: F401 - registers them
from sdk.conformance.registry import CASES, Case, FailedError, play
from sdk.conformance.results import DOCS, HOLDS, NOT_APPLICABLE, names_in, table
from sdk.conformance.service import KINDS, PAGE, Client, Kind, Service


def _marks(name: str, kind: Kind) -> list[pytest.MarkDecorator]:
    # One worker has all of a service's cases, so that it is started once.
    group = pytest.mark.xdist_group(f"conformance-{name}")
    return [group, *(getattr(pytest.mark, tool) for tool in kind.tools)]


# A slow case waits for what the services of one language share: the first one goes through it.
_FIRST = ("python-threads", "node-20", "browser", "go")
APPLICABLE = [
    pytest.param(name, one, id=f"{name}: {one.name}", marks=_marks(name, kind))
    for name, kind in KINDS.items()
    for one in CASES.values()
    if one.applies_to(kind) and (name in _FIRST or not one.is_slow)
]


@pytest.fixture(scope="module")
def service() -> Iterator[Callable[[str], Service]]:
    """One of each name, started when it is first asked for."""
    running: dict[str, Service] = {}

    def _service(name: str) -> Service:
        if name not in running:
            running[name] = Service(name)
        return running[name]

    yield _service
    for one in running.values():
        one.close()


@pytest.mark.parametrize(("name", "case"), APPLICABLE)
def test_case__holds(service: Callable[[str], Service], name: str, case: Case, tmp_path: Path) -> None:
    play(case, service(name), tmp_path)


FIELDS = ("value", "variant", "reason", "ruleId", "experiment", "errorCode", "detail", "configVersion", "stale")


@pytest.mark.xdist_group("conformance-python-threads")
@pytest.mark.parametrize("case", [one for one in CASES.values() if one.group == "vectors"], ids=lambda one: one.title)
def test_vectors__an_answer_that_is_wrong_in_one_field__does_not_hold(
    service: Callable[[str], Service], case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Client.answers
    for field in FIELDS:

        def wrong(client: Client, questions: Any, field: str = field) -> list[dict[str, Any]]:
            return [{**answer, field: "wrong"} for answer in right(client, questions)]

        monkeypatch.setattr(Client, "answers", wrong)
        with pytest.raises(FailedError):
            play(case, service("python-threads"), tmp_path)


@pytest.mark.xdist_group("conformance-python-threads")
def test_vectors__a_number_in_place_of_a_boolean__does_not_hold(
    service: Callable[[str], Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Client.answers

    def wrong(client: Client, questions: Any) -> list[dict[str, Any]]:
        return [
            {**answer, "value": int(answer["value"]) if isinstance(answer["value"], bool) else answer["value"]}
            for answer in right(client, questions)
        ]

    monkeypatch.setattr(Client, "answers", wrong)
    generated = next(one for one in CASES.values() if one.title.startswith("generated pairs"))
    with pytest.raises(FailedError, match="value of"):
        play(generated, service("python-threads"), tmp_path)


def test_docs__the_table__is_of_these_cases_and_services() -> None:
    page = DOCS.read_text()
    results = {
        (one.name, name): HOLDS if one.applies_to(kind) else NOT_APPLICABLE
        for one in CASES.values()
        for name, kind in KINDS.items()
    }

    assert names_in(page) == list(names_in(table(results)))
    assert page == table(results)


def test_services__what_each_lacks__has_a_reason() -> None:
    # What a page alone has is nothing that a server lacks.
    needed = frozenset[str]().union(*(one.needs for one in CASES.values())) - {PAGE}

    assert {name for name, kind in KINDS.items() if not needed <= kind.capabilities} == {
        name for name, kind in KINDS.items() if kind.why_not
    }
