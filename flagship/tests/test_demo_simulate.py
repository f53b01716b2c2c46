"""`manage.py simulate` against the running platform: what it sends arrives, and arrives once."""

import os
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from flagship.demo.traffic import Plan, Sent
from flagship.management.commands.simulate import rates
from flagship.tests.stack import Stack, eventually

ROOT = Path(__file__).resolve().parents[2]


def _simulate(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_"))}
    environment |= {"FLAGSHIP_VAR_DIR": str(stack.var_dir), "REDIS_PREFIX": "flagship"}
    return subprocess.run(
        [sys.executable, "manage.py", "simulate", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _let_earlier_exposures_arrive(stack: Stack) -> None:
    """Those of the tests before would be counted as new. Each worker hands on its exposures in their order."""
    body = {"flagKey": "dark-mode", "userId": "the-last-before"}
    asked = [stack.call("POST", "/api/flags/evaluate", body, Connection="close").json() for _ in range(20)]
    ids = [answer["evaluationId"] for answer in asked]
    stored = "SELECT count(*) FROM exposures WHERE evaluation_id = ANY(%s::uuid[])"
    eventually(lambda: stack.rows(stored, ids) == [(20,)], what="the rows of what was evaluated before")


@pytest.mark.processes
@pytest.mark.xdist_group("stack")
def test_simulate__rate_of_a_variant_there_is_not__is_refused_with_those_there_are(stack: Stack) -> None:
    done = _simulate(stack, "--users", "5", "--conversion", "blue=0.5,treatment=1")

    assert done.returncode == 1
    assert "new-checkout has no variant blue; it has control, treatment." in done.stderr
    assert done.stdout == ""


@pytest.mark.processes
@pytest.mark.xdist_group("stack")
def test_simulate__what_was_sent__arrives(stack: Stack) -> None:
    _let_earlier_exposures_arrive(stack)
    done = _simulate(
        stack, "--users", "60", "--conversion", "control=0.5,treatment=1", "--seed", "arrives", "--wait", "120"
    )

    assert done.returncode == 0, done.stderr
    sent, arrived = done.stdout.split("Arrived in the experiment's results:\n")
    lines = [line for line in sent.splitlines() if line.startswith("  ")]
    assert [line for line in arrived.splitlines() if line] == lines
    assert "Not everything" not in arrived
    ((users,),) = stack.rows("SELECT count(DISTINCT unit_id) FROM exposures WHERE unit_id LIKE 'sim-arrives-%%'")
    ((buyers,),) = stack.rows("SELECT count(*) FROM conversions WHERE unit_id LIKE 'sim-arrives-%%'")
    assert users == 60
    assert buyers == sum(int(line.split(",")[1].split()[0]) for line in lines)


@pytest.mark.processes
@pytest.mark.xdist_group("stack")
def test_simulate__flag_without_an_experiment__says_so(stack: Stack) -> None:
    done = _simulate(stack, "--users", "5", "--flag", "dark-mode", "--seed", "plain")

    assert done.returncode == 0, done.stderr
    assert "5 users were not in an experiment" in done.stdout
    assert "no experiment is running on 'dark-mode'" in done.stdout


@pytest.mark.processes
@pytest.mark.xdist_group("stack")
def test_simulate__flag_that_is_not_there__ends_with_the_servers_words(stack: Stack) -> None:
    done = _simulate(stack, "--users", "5", "--flag", "nothing")

    assert done.returncode != 0
    assert "404" in done.stderr


def test_rates__read() -> None:
    assert rates("control=0.10,treatment=0.14") == {"control": 0.1, "treatment": 0.14}
    for wrong in ("control", "control=x", "control=1.5", "=0.1"):
        with pytest.raises(ArgumentTypeError):
            rates(wrong)


def test_plan__same_seed__does_the_same() -> None:
    plans = [Plan(1000, {"control": 0.1}, "f", "e", seed) for seed in ("a", "a", "b")]
    bought = [[number for number in range(1000) if plan.converts(number, "control")] for plan in plans]

    assert bought[0] == bought[1] != bought[2]
    assert 60 < len(bought[0]) < 140
    assert not any(plans[0].converts(number, "treatment") for number in range(100))


def test_sent__outside_the_experiment__is_counted_apart() -> None:
    sent = Sent()
    sent.count("control", is_in_experiment=True, converted=True)
    sent.count("control", is_in_experiment=True, converted=False)
    sent.count("treatment", is_in_experiment=False, converted=True)

    assert (sent.users, sent.conversions, sent.outside) == ({"control": 2}, {"control": 1}, 1)
