"""A compiled environment: versions, staleness, replacement that shares, bulk evaluation, and what breaks what."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from documents import condition, environment, experiment, flag, rule, snapshot
from openflagship.engine import CompiledEnvironment, Context, DecodeError, bucket
from openflagship.engine import compile as compiling

ROLLOUT = [[0, 5000, "treatment"]]


@pytest.mark.parametrize(
    ("document", "path", "code"),
    [
        (None, "", "wrong_type"),
        ({"version": 1}, "contract", "unsupported_contract"),
        ({"contract": 2, "version": 1}, "contract", "unsupported_contract"),
        ({"contract": True, "version": 1}, "contract", "unsupported_contract"),
        ({"contract": 1, "version": "1"}, "version", "required"),
        ({"contract": 1, "version": 1, "flags": []}, "flags", "wrong_type"),
        ({"contract": 1, "version": 1, "segments": 5}, "segments", "wrong_type"),
        ({"contract": 1, "version": 1, "environment": "production"}, "environment", "wrong_type"),
    ],
)
def test_from_document__no_snapshot__is_refused_as_a_whole(document: Any, path: str, code: str) -> None:
    with pytest.raises(DecodeError) as caught:
        CompiledEnvironment.from_document(document)
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [(path, code)]


def test_from_document__one_broken_flag__leaves_the_others_alone() -> None:
    document = snapshot(flag(), unknown="field")
    document["flags"] |= {"odd": None, "worse": {"variants": 5}}
    asked = CompiledEnvironment.from_document(document)
    assert asked.evaluate("asked", Context("a")).error_code is None
    codes = {key: given.error_code for key, given in asked.evaluate_all(Context("a")).items()}
    assert codes == {"asked": None, "odd": "PARSE_ERROR", "worse": "PARSE_ERROR"}
    assert asked.flags["odd"].type is None
    assert asked.unit("worse", Context("a")) == "a"


def test_from_document__flag_under_another_key__is_served_under_the_key_it_is_filed_under() -> None:
    document = snapshot()
    document["flags"]["filed"] = flag(key="written", allocation=[[0, 5000, "treatment"]])
    document["segments"]["team"] = {"key": "other", "included": ["a"]}
    asked = CompiledEnvironment.from_document(document)
    assert asked.flags["filed"].document["key"] == "filed"
    assert asked.segments["team"].document["key"] == "team"
    assert asked.evaluate("filed", Context("a")).value is (bucket("filed", "a") < 5000)


def test_document__of_an_environment__gives_an_equal_one() -> None:
    document = snapshot(flag(future={"field": 1}), flag(key="b"), segments=[{"key": "s"}])
    assert CompiledEnvironment.from_document(document).document() == document


def test_text__of_an_environment__is_its_document_as_canonical_json() -> None:
    odd = flag(key="b", future={"z": 1.5, "ä": 'ü 漢 \n " \u2028', "": [True, None, 1e300]})
    document = snapshot(flag(), odd, segments=[{"key": 's"'}, {"key": "r"}], environment={"salt": "ß", "key": "p"})
    made = CompiledEnvironment.from_document(document)
    written = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert made.text() == written
    assert made.header == document["environment"]


def test_text__with_half_of_a_surrogate_pair__can_still_be_sent() -> None:
    made = CompiledEnvironment.from_document(snapshot(flag(future="\ud800")))
    assert json.loads(made.text().encode()) == made.document()


def test_replace__one_flag__shares_all_others() -> None:
    before = environment(flag(), flag(key="other"), segments=[{"key": "s"}])
    after = before.replace(8, flags={"asked": flag(allocation=ROLLOUT), "new": flag(key="new")})
    assert after.flags["other"] is before.flags["other"]
    assert after.segments["s"] is before.segments["s"]
    assert set(after.flags) == {"asked", "other", "new"}
    assert (before.version, after.version) == (7, 8)
    assert before.evaluate("other", Context("a")).config_version == 7
    assert after.evaluate("other", Context("a")).config_version == 8
    assert (
        after.replace(9, flags={"asked": None, "nobody": None}).evaluate("asked", Context("a")).error_code is not None
    )
    assert before.evaluate("asked", Context("a")).reason == "DEFAULT"


def test_replace__a_prerequisite__reaches_the_flags_that_ask_for_it() -> None:
    wanted = [{"flagKey": "other", "variants": ["treatment"]}]
    before = environment(flag(prerequisites=wanted, rules=[rule([])]), flag(key="other"))
    assert before.evaluate("asked", Context("a")).reason == "PREREQUISITE_FAILED"
    after = before.replace(8, flags={"other": flag(key="other", rules=[rule([])])})
    assert after.evaluate("asked", Context("a")).reason == "RULE_MATCH"


def test_from_document__flag_no_json_could_hold__is_broken_and_nothing_else() -> None:
    document = snapshot(flag())
    document["flags"]["odd"] = {1, 2}
    document["flags"]["endless"] = endless = flag(key="endless")
    endless["rules"] = [endless]
    asked = CompiledEnvironment.from_document(document)
    assert asked.evaluate("asked", Context("a")).error_code is None
    assert {asked.evaluate(key, Context("a")).error_code for key in ("odd", "endless")} == {"PARSE_ERROR"}
    assert asked.flags["odd"].document is None


def test_replace__functions_for_unusual_attributes__are_kept_as_well() -> None:
    listed = rule([condition("tags", "in", ["x"]), {"operator": "in_segment", "value": ["s"]}])
    before = environment(flag(rules=[listed]), segments=[{"key": "s", "conditions": condition("tags", "equals", "y")}])
    context = Context("ann", {"tags": ["x", "y"]})
    assert before.evaluate("asked", context).value is True
    after = before.replace(8, segments={"other": {"key": "other"}})
    assert (after.evaluate("asked", context).value, after.evaluate("asked", context).config_version) == (True, 8)
    assert after.evaluate("asked", Context("ann", {"tags": ["x"]})).value is False


def test_replace__nothing_but_the_version__is_a_new_version_of_the_same() -> None:
    before = environment(flag(), environment={"salt": "e"})
    after = before.replace(9)
    assert after.flags["asked"] is before.flags["asked"]
    assert after.document() == {**before.document(), "version": 9}


def test_replace__in_a_salted_environment__keeps_the_salt() -> None:
    after = environment(environment={"salt": "e"}).replace(8, flags={"asked": flag(allocation=ROLLOUT)})
    users = [f"u{number}" for number in range(50)]
    assert [after.evaluate("asked", Context(user)).value for user in users] == [
        bucket("e:asked", user) < 5000 for user in users
    ]


def test_with_staleness__answers__are_marked_until_it_is_over() -> None:
    fresh = environment(flag())
    stale = fresh.with_staleness(True)
    given = stale.evaluate("asked", Context("a"))
    assert (given.stale, given.openfeature_reason, given.reason, stale.stale) == (True, "STALE", "DEFAULT", True)
    assert stale.evaluate("nobody", Context("a")).openfeature_reason == "ERROR"
    assert stale.evaluate("nobody", Context("a")).stale is True
    assert stale.with_staleness(True) is stale
    assert stale.replace(8).stale is True
    again = stale.with_staleness(False)
    assert again.evaluate("asked", Context("a")) == fresh.evaluate("asked", Context("a"))


def test_evaluate__same_end__is_the_same_answer_object() -> None:
    asked = environment(flag(allocation=[[0, 10_000, "treatment"]]))
    assert asked.evaluate("asked", Context("a")) is asked.evaluate("asked", Context("b"))


class Hashes:
    """Counts what is hashed in place of the real hash."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str, seed: int, signed: bool) -> int:
        self.texts.append(text)
        return len(text)


def test_evaluate_all__shared_salts__are_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = Hashes()
    monkeypatch.setattr("openflagship.engine.runtime.TOOLS", (hashes, *compiling.TOOLS[1:]))
    monkeypatch.setattr("openflagship.engine.compile.mmh3.hash", hashes)
    layered = experiment(layer={"key": "page", "salt": "layer:page"}, ranges=[[0, 9000]])
    split = [[0, 5000, "treatment"]]
    asked = environment(
        flag(key="a", experiment=layered, allocation=split),
        flag(key="b", experiment=layered, allocation=split),
        flag(key="c", salt="common", allocation=split, rules=[rule([], allocation=[[9000, 10_000, "treatment"]])]),
        flag(key="d", salt="common", allocation=split),
        flag(key="e", allocation=split),
        flag(key="f", prerequisites=[{"flagKey": "e", "variants": ["treatment"]}], allocation=split),
        flag(key="g", bucketBy="deviceId", salt="common", allocation=split),
    )
    given = asked.evaluate_all(Context("ann", {"deviceId": "d1"}))
    assert len(given) == 7
    assert sorted(hashes.texts) == sorted(
        ["a:ann", "b:ann", "layer:page:ann", "common:ann", "e:ann", "f:ann", "common:d1"]
    )
    hashes.texts.clear()
    assert asked.evaluate_all(Context("ann", {"deviceId": "d1"}), ["c", "d", "nobody"]).keys() == {"c", "d", "nobody"}
    assert hashes.texts == ["common:ann"]


def test_evaluate__several_allocations_of_a_flag__hash_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = Hashes()
    monkeypatch.setattr("openflagship.engine.runtime.TOOLS", (hashes, *compiling.TOOLS[1:]))
    rules = [rule([], number, allocation=[[9000 + number, 9001 + number, "treatment"]]) for number in range(3)]
    assert environment(flag(rules=rules, allocation=ROLLOUT)).evaluate("asked", Context("ann")).reason == "ROLLOUT"
    assert hashes.texts == ["asked:ann"]


class Hostile:
    """An attribute that raises as soon as it is looked at."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("no")

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise AssertionError(value)


def test_evaluate_all__one_flag_fails__the_others_still_answer() -> None:
    tripping = flag(key="trips", rules=[rule([condition("x", "equals", "y")])])
    asked = environment(flag(), tripping)
    context = Context("ann", {"x": Hostile()})
    given = asked.evaluate_all(context)
    assert (given["asked"].error_code, given["trips"].error_code, given["trips"].detail) == (
        None,
        "GENERAL",
        "RuntimeError",
    )
    assert asked.evaluate_all(context, ["trips", "asked"]) == given
    assert asked.explain("trips", context).steps[0].facts == {"errorCode": "GENERAL", "detail": "RuntimeError"}


def test_evaluate_all__flag_that_cannot_be_bound__fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = environment(flag(), flag(key="unwritable"))
    code = asked.flags["unwritable"].code
    assert code is not None

    def refuse(self: compiling.FlagCode) -> Any:
        if self is code:
            raise MemoryError
        return compiling._FlagWriter(self.config, self.prefix, fast=True).write()

    monkeypatch.setattr(compiling.FlagCode, "fast", refuse)
    given = asked.prepare().evaluate_all(Context("ann"))
    assert (given["asked"].error_code, given["unwritable"].detail) == (None, "MemoryError")
    assert asked.evaluate("unwritable", Context("ann"), 5).value == 5


def test_evaluate__user_text_in_names_and_values__is_never_code() -> None:
    hostile = "\"'); raise SystemExit #\n{0}\\"
    document = flag(
        salt=hostile,
        bucketBy=hostile,
        targets=[{"variant": "treatment", "userIds": [hostile]}],
        rules=[
            rule([condition(hostile, "equals", hostile), condition(hostile, "starts_with", [hostile, "'"])], id=hostile)
        ],
    )
    asked = environment(document, environment={"salt": hostile})
    assert asked.evaluate("asked", Context(hostile)).reason == "TARGET_MATCH"
    assert asked.evaluate("asked", Context("ann", {hostile: hostile})).rule_id == hostile


def test_flags__of_one_shape__share_their_code() -> None:
    shaped = [flag(key=key, rules=[rule([condition(key, "equals", key)])], allocation=ROLLOUT) for key in ("a", "b")]
    asked = environment(*shaped)
    codes = [code.fast()[0].factory for flag_ in asked.flags.values() if (code := flag_.code) is not None]
    assert codes[0] is codes[1]


def test_evaluate__from_many_threads_at_once__binds_to_equal_answers() -> None:
    asked = environment(
        *(
            flag(key=f"f{number}", allocation=ROLLOUT, rules=[rule([{"operator": "in_segment", "value": ["s"]}])])
            for number in range(40)
        ),
        segments=[{"key": "s", "conditions": condition("tags", "contains", "x")}],
    )
    expected = {key: asked.replace(7).evaluate(key, Context("ann", {"tags": ["x"]})) for key in asked.flags}
    start = threading.Barrier(8)
    wrong: list[Any] = []

    def evaluate() -> None:
        start.wait()
        for key, answer in expected.items():
            given = asked.evaluate(key, Context("ann", {"tags": ["x"]}))
            if given != answer:
                wrong.append(given)

    threads = [threading.Thread(target=evaluate) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("attributes", [None, 5, "text", [("a", 1)]])
def test_context__attributes_that_are_none__are_empty(attributes: Any) -> None:
    assert Context("ann", attributes).attributes == {}
    assert repr(Context(7)) == "Context('7', {})"
