"""Same user, same flag, same answer, wherever one asks; `python -m benchmarks.parity` asks for twenty thousand."""

from openflagship.engine import CompiledEnvironment

from analytics.pipeline.exposure_buffer import EXPOSURES
from flags.propagation.runtime import RUNTIME
from flagship.tests import parity_world
from flagship.tests.surfaces import engine_answers, surfaces

FLAGS, CONTEXTS = 100, 12


def test_every_surface__over_a_thousand_pairs__answers_what_the_engine_answers(environment, key, monkeypatch):
    monkeypatch.setattr(EXPOSURES, "add", lambda *_args: None)
    document, contexts = parity_world.document(FLAGS), parity_world.contexts(CONTEXTS)
    secret = key().secret
    monkeypatch.setattr(RUNTIME, "environments", {environment.pk: CompiledEnvironment.from_document(document)})
    ours, theirs = engine_answers(document, contexts)
    seen = set()
    for name, is_ofrep, answers in surfaces(document, contexts, secret):
        expected = theirs if is_ofrep else ours
        wrong = {pair: (answers.get(pair), wanted) for pair, wanted in expected.items() if answers.get(pair) != wanted}
        assert not wrong, (name, next(iter(wrong.items())))
        assert len(answers) == FLAGS * CONTEXTS
        seen.add(name.partition(",")[0])

    assert seen == {"fast lane", "DRF", "edge", "sync SDK", "async SDK", "OpenFeature provider"}
    # A generator that never reaches a step would prove nothing about it.
    assert {answer["reason"] for answer in ours.values()} == {
        "KILL_SWITCH",
        "DISABLED",
        "PREREQUISITE_FAILED",
        "TARGET_MATCH",
        "RULE_MATCH",
        "EXPERIMENT",
        "ROLLOUT",
        "DEFAULT",
    }
