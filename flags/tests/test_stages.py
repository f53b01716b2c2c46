"""The stage of a flag: a pure function with its reasons, held by known answers."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from flags.lifecycle.stages import REASONS, Evidence, InEnvironment, Stage, Thresholds, stage_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LIMITS = Thresholds(new_days=14, unchanged_days=30, unused_days=45)


def ago(days):
    return NOW - timedelta(days=days)


def production(served, **more):
    return InEnvironment("Production", is_production=True, is_enabled=True, served=served, **more)


def staging(served, **more):
    return InEnvironment("Staging", **{"is_production": False, "is_enabled": True, "served": served, **more})


# A release that everybody has had for long, that code still asks for.
RELEASED = Evidence(
    created_at=ago(200),
    changed_at=ago(60),
    places=(production("on"), staging("on")),
    kind="release",
    asked_at=ago(1),
    asked_by="till in Production",
    counted_since=ago(300),
    references=2,
)
GONE = {"asked_at": ago(50), "references": 0}
NEVER = {"asked_at": None, "asked_by": "", "references": None}

CASES = {
    "archived": (
        {"archived_at": ago(3)},
        "archived",
        ["It was archived on 2026-05-29."],
    ),
    "made-yesterday": (
        {**NEVER, "created_at": ago(1.5), "changed_at": ago(1.5)},
        "new",
        ["It was made 1 day ago, and nobody has asked for it yet."],
    ),
    "made-yesterday-and-asked-for": (
        {"created_at": ago(1), "changed_at": ago(0.1)},
        "live",
        ["It was changed less than a day ago.", "It was asked for last 1 day ago, by till in Production."],
    ),
    "released-and-asked-for": (
        {},
        "complete",
        [
            "Everybody gets on in Production and Staging.",
            "Nobody has changed it for 60 days.",
            "It was asked for last 1 day ago, by till in Production.",
            "Code names it in 2 places.",
        ],
    ),
    "released-and-gone": (
        GONE,
        "ready_to_archive",
        [
            "Everybody gets on in Production and Staging.",
            "It was asked for last 50 days ago, by till in Production.",
            "Nobody has changed it for 60 days.",
            "No scanned repository names it.",
        ],
    ),
    "released-and-gone-but-for-code": (
        {**GONE, "references": 1},
        "complete",
        [
            "Everybody gets on in Production and Staging.",
            "Nobody has changed it for 60 days.",
            "It was asked for last 50 days ago, by till in Production.",
            "Code names it in 1 place.",
        ],
    ),
    "never-asked-for-and-never-scanned": (
        {**NEVER, "kind": ""},
        "ready_to_archive",
        [
            "Everybody gets on in Production and Staging.",
            "Nobody has asked for it in 200 days.",
            "Nobody has changed it for 60 days.",
            "No repository has been scanned for it, so it is unused only after 90 days.",
            "Nobody has said what kind of flag it is, so it counts as temporary.",
        ],
    ),
    "counted-for-too-short": (
        {**NEVER, "counted_since": ago(20)},
        "complete",
        [
            "Everybody gets on in Production and Staging.",
            "Nobody has changed it for 60 days.",
            "Evaluations have been counted for 20 days, and nobody asked for it: too short to say.",
            "No repository has been scanned for it, so it is unused only after 90 days.",
        ],
    ),
    "gone-for-so-long-and-never-scanned": (
        {"asked_at": ago(90), "references": None},
        "complete",
        [
            "Everybody gets on in Production and Staging.",
            "Nobody has changed it for 60 days.",
            "It was asked for last 90 days ago, by till in Production.",
            "No repository has been scanned for it, so it is unused only after 90 days.",
        ],
    ),
    "split-and-asked-for": (
        {"places": (production(None), staging("on"))},
        "live",
        [
            "It gives different variants in Production.",
            "It was asked for last 1 day ago, by till in Production.",
            "Code names it in 2 places.",
        ],
    ),
    "split-and-gone": (
        {"places": (production(None), staging("on")), **GONE},
        "ready_to_archive",
        [
            "It was asked for last 50 days ago, by till in Production.",
            "Nobody has changed it for 60 days.",
            "No scanned repository names it.",
        ],
    ),
    "on-its-way-to-production": (
        {"places": (production("off", is_killed=False), staging("on"))},
        "live",
        [
            "Environments differ: everybody gets off in Production, on in Staging.",
            "It was asked for last 1 day ago, by till in Production.",
            "Code names it in 2 places.",
        ],
    ),
    "released-and-off-in-staging": (
        {"places": (production("on"), staging("off", is_enabled=False))},
        "complete",
        [
            "Everybody gets on in Production.",
            "Nobody has changed it for 60 days.",
            "It was asked for last 1 day ago, by till in Production.",
            "Code names it in 2 places.",
        ],
    ),
    "changed-lately": (
        {"changed_at": ago(29), **GONE},
        "live",
        ["It was changed 29 days ago.", "It was asked for last 50 days ago, by till in Production."],
    ),
    "permanent": (
        {"is_lasting": True, **GONE},
        "live",
        ["It is meant to stay.", "It was asked for last 50 days ago, by till in Production."],
    ),
    "killed-and-in-an-experiment": (
        {"places": (production(None, is_killed=True), staging(None, in_experiment=True)), **GONE},
        "live",
        [
            "Its kill switch is on in Production.",
            "An experiment runs on it in Staging.",
            "It was asked for last 50 days ago, by till in Production.",
        ],
    ),
    "needed-by-others": (
        {"needed_by": tuple("abcdefg"), **GONE},
        "live",
        [
            "It is a prerequisite of a, b, c, d, e and 2 more.",
            "It was asked for last 50 days ago, by till in Production.",
        ],
    ),
    "past-its-end": (
        {"expected_end": date(2026, 5, 31)},
        "complete",
        [
            "Everybody gets on in Production and Staging.",
            "Nobody has changed it for 60 days.",
            "It was asked for last 1 day ago, by till in Production.",
            "Code names it in 2 places.",
            "Its expected end, 2026-05-31, has passed.",
        ],
    ),
    "in-no-environment": (
        {"places": (), **GONE},
        "ready_to_archive",
        [
            "It is in no environment any more.",
            "It was asked for last 50 days ago, by till in Production.",
            "Nobody has changed it for 60 days.",
            "No scanned repository names it.",
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_stage__golden_cases__have_their_stage_and_reasons(name):
    changes, stage, sentences = CASES[name]

    found = stage_of(replace(RELEASED, **changes), LIMITS, NOW)

    assert (found.stage.value, [reason.sentence for reason in found.reasons]) == (stage, sentences)
    assert {reason.code for reason in found.reasons} <= set(REASONS)
    assert found.is_overdue == (name == "past-its-end")


def test_cases__together__have_every_stage_and_every_reason():
    found = [stage_of(replace(RELEASED, **changes), LIMITS, NOW) for changes, _, _ in CASES.values()]

    assert {one.stage for one in found} == set(Stage)
    assert {reason.code for one in found for reason in one.reasons} == set(REASONS)


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({**GONE, "asked_at": ago(45)}, "complete", "ready_to_archive"),
        ({**GONE, "changed_at": ago(30) + timedelta(seconds=1)}, "live", "ready_to_archive"),
        ({**NEVER, "created_at": ago(14) + timedelta(seconds=1), "changed_at": ago(14)}, "new", "live"),
    ],
    ids=["unused", "unchanged", "new"],
)
def test_stage__at_each_limit__changes_there_and_no_sooner(changes, before, after):
    evidence = replace(RELEASED, **changes)

    assert stage_of(evidence, LIMITS, NOW).stage == before
    assert stage_of(evidence, LIMITS, NOW + timedelta(seconds=1)).stage == after


def test_expected_end__on_the_day_itself__has_not_passed():
    assert not stage_of(replace(RELEASED, expected_end=NOW.date()), LIMITS, NOW).is_overdue
