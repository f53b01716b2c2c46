"""Thirty-odd situations and the decision each one gets, as golden texts in `golden/decisions.txt`.

A change of a sentence shows in the diff of that file; `GOLDEN=write` writes it anew, for reading before committing.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from experiments.decisions.decision import decide
from experiments.decisions.evidence import (
    DataCheck,
    DecidingEffect,
    Evidence,
    GuardrailEvidence,
    GuardrailStatus,
    Progress,
    Scale,
    Status,
)
from experiments.decisions.outcome import Act, Decision, Reason

GOLDEN = Path(__file__).parent / "golden" / "decisions.txt"
RUNNING, PAUSED, COMPLETED = Status.RUNNING, Status.PAUSED, Status.COMPLETED
PASS, VIOLATED, UNDECIDED = GuardrailStatus.PASS, GuardrailStatus.VIOLATED, GuardrailStatus.UNDECIDED


def effect(
    variant="B", *, diff=0.01, reach=0.004, control=0.1, significant=True, metric="purchase", **more
) -> DecidingEffect:
    given = {
        "metric": metric,
        "variant": variant,
        "scale": Scale.RATE,
        "higher_is_better": True,
        "difference": diff,
        "interval": None if diff is None else (diff - reach, diff + reach),
        "lift": None if diff is None or not control else diff / control,
        "control_figure": control,
        "is_significant": significant,
    }
    return DecidingEffect(**{**given, **more})


def guardrail(variant="B", status=PASS, metric="latency", lift=0.01) -> GuardrailEvidence:
    return GuardrailEvidence(metric, variant, status, 5.0, lift)


def progress(days=14.0, users=20_000, complete=18_000, **more) -> Progress:
    return Progress(days, users, complete, **more)


def evidence(*effects: DecidingEffect, status=RUNNING, control="A", **more) -> Evidence:
    arms = tuple(item.variant for item in effects)
    given = {"progress": progress(), "primary": effects, "arms": arms}
    return Evidence(status, control, **{**given, **more})


FROZEN = progress(days=28, complete=20_000, is_frozen=True, frozen_at=datetime(2026, 3, 8, tzinfo=UTC))
ENDED = progress(days=28, complete=19_000, frozen_at=datetime(2026, 3, 8, 12, 30, tzinfo=UTC))
UNSURE = effect(diff=0.001, reach=0.004, significant=False)
HARM = effect(diff=-0.03, reach=0.02)
SRM = DataCheck("sample_ratio", "Users did not arrive in the split's proportions: 24 Nov was 100 : 50.")
WARNED = DataCheck("sample_ratio", "The overall sample ratio has p = 0.008; the sequential check is quiet.", False)
CROSSED = DataCheck("crossovers", "20.0 % of users saw more than one variant, and the result differs with them.")
SILENT = DataCheck("silent_arm", "No user of C has been seen, though the split gives it 33 %.")
PRE_PERIOD = DataCheck("pre_period", "The arms differed in purchase before the start, by 15 standard errors.")

SCENARIOS: dict[str, Evidence] = {
    "nobody yet": evidence(effect(diff=None, significant=None), progress=progress(users=0, complete=0)),
    "nobody ever": evidence(
        effect(diff=None, significant=None), progress=progress(users=0, complete=0), status=COMPLETED
    ),
    "chosen window": evidence(
        effect(), has_verdict=False, why_no_verdict="a verdict is about the whole phase, not a chosen window"
    ),
    "sample ratio fails": evidence(effect(), checks=(SRM,)),
    "sample ratio fails beside a violated guardrail": evidence(
        effect(), checks=(SRM,), guardrails=(guardrail(status=VIOLATED),)
    ),
    "crossovers disagree": evidence(effect(), checks=(CROSSED,)),
    "an arm is silent": evidence(effect(), checks=(SILENT,)),
    "arms differed before the start": evidence(effect(), checks=(PRE_PERIOD,)),
    "overall sample ratio only warns": evidence(effect(), checks=(WARNED,)),
    "guardrail shows harm": evidence(effect(), guardrails=(guardrail(status=VIOLATED, lift=0.12),)),
    "guardrail showed harm, completed": evidence(
        effect(), guardrails=(guardrail(status=VIOLATED, lift=0.12),), status=COMPLETED, progress=FROZEN
    ),
    "one arm harms, the other wins": evidence(
        effect("B", diff=0.002, significant=False),
        effect("C", diff=0.04),
        guardrails=(guardrail("B", VIOLATED, lift=0.3), guardrail("C")),
    ),
    "one arm harms, the other is unclear": evidence(
        effect("B", diff=0.002, significant=False),
        effect("C", diff=0.001, significant=False),
        guardrails=(guardrail("B", VIOLATED, lift=0.3), guardrail("C")),
    ),
    "one day of data": evidence(effect(), progress=progress(days=1, complete=900)),
    "harm on day one": evidence(HARM, progress=progress(days=1, complete=900)),
    "windows open": evidence(effect(significant=None), progress=progress(days=8, complete=0)),
    "fixed horizon before its plan": evidence(
        effect(), is_fixed_horizon=True, progress=progress(complete=9_000, planned_users=30_000)
    ),
    "fixed horizon at its plan": evidence(
        effect(), is_fixed_horizon=True, progress=progress(complete=30_100, users=33_000, planned_users=30_000)
    ),
    "ended, windows still open": evidence(effect(), status=COMPLETED, progress=ENDED),
    "novelty wore off": evidence(effect(diff=0.02, reach=0.03, is_constant=False)),
    "novelty wore off, completed": evidence(
        effect(diff=0.02, reach=0.03, is_constant=False), status=COMPLETED, progress=FROZEN
    ),
    "better": evidence(effect()),
    "better where lower is better": evidence(
        effect(
            metric="latency",
            diff=-12.5,
            reach=4.0,
            control=250.0,
            scale=Scale.VALUE,
            higher_is_better=False,
        )
    ),
    "better, completed": evidence(effect(), status=COMPLETED, progress=FROZEN),
    "better, paused": evidence(effect(), status=PAUSED),
    "better, guardrail undecided": evidence(effect(), guardrails=(guardrail(status=UNDECIDED, lift=None),)),
    "better, guardrail undecided at the end": evidence(
        effect(), guardrails=(guardrail(status=UNDECIDED, lift=None),), status=COMPLETED, progress=FROZEN
    ),
    "worse": evidence(HARM),
    "worse, completed": evidence(HARM, status=COMPLETED, progress=FROZEN),
    "one of two is worse": evidence(
        effect("B", diff=-0.033, reach=0.01), effect("C", diff=0.0, reach=0.01, significant=False)
    ),
    "equal": evidence(effect(diff=0.0002, reach=0.0012, significant=False), minimum_effect=0.02),
    "unclear while running": evidence(UNSURE),
    "unclear while paused": evidence(UNSURE, status=PAUSED),
    "unclear at the plan": evidence(UNSURE, progress=progress(complete=20_100, users=23_000, planned_users=20_000)),
    "unclear and wide, completed": evidence(
        effect(diff=0.012, reach=0.058, significant=False), status=COMPLETED, progress=FROZEN
    ),
    "two winners alike": evidence(effect("B", diff=0.022), effect("C", diff=0.02)),
    "two winners apart": evidence(effect("B", diff=0.01), effect("C", diff=0.03), apart={("B", "C"): True}),
    "winner with secondary harm": evidence(
        effect(),
        secondary=(effect(metric="margin", diff=-8.0, reach=2.0, control=40.0, scale=Scale.VALUE),),
    ),
    "lift too good": evidence(effect(diff=0.3, reach=0.05)),
    "control without conversions": evidence(effect(diff=0.02, control=0.0)),
    "nothing to compare": evidence(effect(diff=None, significant=None, reason="neither arm varies")),
}


def _shown(name: str, found: Decision) -> str:
    lines = [f"## {name}", f"{found.act} ({found.reason}){f', arm {found.arm}' if found.arm else ''}", found.text]
    lines += [f"  because: {reason}" for reason in found.reasons]
    lines += [f"  but: {caveat}" for caveat in found.caveats]
    return "\n".join(lines)


def test_decisions__every_scenario__says_the_golden_text():
    written = "\n\n".join(_shown(name, decide(given)) for name, given in SCENARIOS.items()) + "\n"
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(written)
    assert written == GOLDEN.read_text()
    assert len(SCENARIOS) >= 30


@pytest.mark.parametrize("reason", list(Reason))
def test_decisions__every_step__decides_some_scenario(reason):
    assert any(decide(given).reason is reason for given in SCENARIOS.values())


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_decisions__sentences__are_whole_and_in_their_tense(name):
    given = SCENARIOS[name]
    found = decide(given)
    for sentence in (found.text, *found.reasons, *found.caveats):
        assert not sentence[0].islower() or sentence.startswith(("purchase", "latency", "margin"))
        assert sentence.endswith(".")
        assert "None" not in sentence
    if given.status is COMPLETED:
        assert "Keep running" not in found.text
        assert found.act not in {Act.KEEP_RUNNING, Act.DROP_ARM}


def test_decisions__sign_of_the_deciding_users__wins_over_any_other_figure():
    """Found P0-1: an immature cohort turned a proven harm into "ship"; the evidence now holds one sign only."""
    found = decide(evidence(effect(diff=-0.03, reach=0.025)))
    assert (found.act, found.reason, found.arm) == (Act.STOP, Reason.WORSE, "A")
