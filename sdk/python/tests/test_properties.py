"""What holds for every document and context: one answer, the same however it is asked for, and never an exception."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openflagship.engine import (
    Answer,
    CompiledEnvironment,
    Context,
    DecodeError,
    DocumentProblem,
    decode_flag,
    decode_segment,
    decode_tree,
    encode_flag,
    encode_segment,
    environment_problems,
)
from openflagship.engine.explain import Walk
from strategies import contexts, environments, flags, json_values, segments, share_of


def shown(answer: Answer) -> tuple[Any, ...]:
    return (answer.variant, answer.reason, answer.rule_id, answer.experiment, answer.detail)


@settings(max_examples=share_of(300))
@given(environments(), contexts())
def test_evaluate__any_valid_snapshot__agrees_with_the_step_by_step_walk(document: Any, context: Context) -> None:
    environment = CompiledEnvironment.from_document(document)
    for key, flag in environment.flags.items():
        answer = environment.evaluate(key, context, "default")
        assert answer.error_code is None, answer
        assert flag.config is not None
        walked = Walk(environment.evaluators, flag.config, context).run()
        assert shown(answer) == (
            walked.variant,
            walked.reason,
            walked.rule_id,
            walked.experiment,
            walked.detail,
        )
        values = {variant.key: variant.value for variant in flag.config.variants}
        assert answer.value is values[answer.variant]
        assert answer.is_exposure is (environment.unit(key, context) is not None)
        json.dumps(environment.explain(key, context).to_dict(), allow_nan=False).encode()


@settings(max_examples=share_of(80))
@given(environments(), contexts())
def test_evaluate_all__any_snapshot__gives_what_single_evaluations_give(document: Any, context: Context) -> None:
    environment = CompiledEnvironment.from_document(document)
    single = {key: environment.evaluate(key, context) for key in environment.flags}
    assert environment.evaluate_all(context) == single
    assert environment.evaluate_all(context, list(environment.flags)) == single


@settings(max_examples=share_of(80))
@given(environments(), environments(), contexts())
def test_replace__any_change__equals_compiling_the_new_snapshot(before: Any, after: Any, context: Context) -> None:
    after["environment"] = before["environment"]
    environment = CompiledEnvironment.from_document(before)
    environment.evaluate_all(context)
    flag_changes = {key: after["flags"].get(key) for key in {*before["flags"], *after["flags"]}}
    segment_changes = {key: after["segments"].get(key) for key in {*before["segments"], *after["segments"]}}
    replaced = environment.replace(after["version"], flag_changes, segment_changes)
    fresh = CompiledEnvironment.from_document(after)
    assert replaced.document() == fresh.document() == json.loads(replaced.text())
    assert replaced.evaluate_all(context) == fresh.evaluate_all(context)


@settings(max_examples=share_of(100))
@given(st.dictionaries(st.text(max_size=4), json_values, max_size=5), st.one_of(json_values, st.text()), environments())
def test_evaluate__any_json_as_attributes__gives_an_answer(attributes: Any, user_id: Any, document: Any) -> None:
    environment = CompiledEnvironment.from_document(document)
    for key in environment.flags:
        assert environment.evaluate(key, Context(user_id, attributes), "default").error_code is None


def problems_of(decode: Any, document: Any) -> tuple[DocumentProblem, ...]:
    """What a decoder refuses a document for; empty where it takes it."""
    try:
        decode(document)
    except DecodeError as error:
        return error.problems
    return ()


def mutated(document: Any, draw: st.DrawFn) -> Any:
    """The document with one place in it replaced by anything."""
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for place in node if isinstance(node, dict) else range(len(node)):
            places.append((node, place))
            if isinstance(node[place], (dict, list)) and node[place]:
                collect(node[place])

    collect(document)
    holder, place = draw(st.sampled_from(places))
    holder[place] = draw(st.one_of(json_values, st.sampled_from([True, -1, 10_001, "x", [], {}, None, math.nan])))
    return document


@st.composite
def mutated_flags(draw: st.DrawFn) -> Any:
    document = draw(flags())
    for _ in range(draw(st.integers(1, 3))):
        document = mutated(document, draw)
    return document


@settings(max_examples=share_of(300))
@given(mutated_flags(), contexts())
def test_decode_flag__damaged_document__names_the_problem_or_serves_it(document: Any, context: Context) -> None:
    environment = CompiledEnvironment.from_document({"contract": 1, "version": 1, "flags": {"alpha": document}})
    answer = environment.evaluate("alpha", context, "default")
    problems = problems_of(decode_flag, document)
    assert all(problem.message.endswith(".") for problem in problems)
    assert answer.error_code is None or (problems and answer.error_code == "PARSE_ERROR")
    environment.explain("alpha", context)


@settings(max_examples=share_of(300))
@given(json_values)
def test_decoders__anything__raise_nothing_but_decode_errors(document: Any) -> None:
    for decode in (decode_flag, decode_segment, decode_tree, CompiledEnvironment.from_document):
        problems_of(decode, document)
    environment_problems(document)


@settings(max_examples=share_of(100))
@given(flags())
def test_encode_flag__any_flag__decodes_to_an_equal_one(document: Any) -> None:
    flag = decode_flag(document)
    assert decode_flag(json.loads(json.dumps(encode_flag(flag)))) == flag


@settings(max_examples=share_of(100))
@given(segments("staff"))
def test_encode_segment__any_segment__decodes_to_an_equal_one(document: Any) -> None:
    segment = decode_segment(document)
    assert decode_segment(json.loads(json.dumps(encode_segment(segment)))) == segment
