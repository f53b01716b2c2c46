"""YAML bodies: read as strictly as JSON, and never a 500."""

from typing import Any

import pytest

from flags.models import FlagConfig
from rollouts.models import RolloutPlan
from rollouts.tests.conftest import KEY
from tenancy.refusals import LARGEST_NUMBER, number_problems
from tenancy.testing import Caller

pytestmark = pytest.mark.django_db
_PLAN = "variant: treatment\nsteps:\n- percent: 20\n"
_BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
_HOSTILE = {
    "whole number as key": f"1: 2\n{_PLAN}",
    "key that is no text below": "variant: treatment\nsteps:\n- {percent: 20, true: 1}\n",
    "key that is on": f"on: 2\n{_PLAN}",
    "list as key": f"? [a]\n: 2\n{_PLAN}",
    "empty key": f"~: 2\n{_PLAN}",
    "long hexadecimal": f"variant: treatment\nsteps:\n- percent: 0x{'f' * 400}\n",
    "longest hexadecimal": f"variant: treatment\nsteps:\n- percent: 0x{'f' * 200_000}\n",
    "65 bits": f"variant: treatment\nsteps:\n- percent: {2**64}\n",
    "65 bits below zero": f"variant: treatment\nsteps:\n- percent: {-(2**64)}\n",
    "400 digits": f"variant: treatment\nsteps:\n- percent: {'9' * 400}\n",
    "sixties": f"variant: treatment\nsteps:\n- percent: 1{':1' * 100_000}\n",
    "sixties with a point": f"variant: treatment\nsteps:\n- percent: 1{':1' * 300}.5\n",
    "infinity": "variant: treatment\nsteps:\n- percent: .inf\n",
    "no number": "variant: treatment\nsteps:\n- percent: .nan\n",
    "key twice": f"{_PLAN}variant: control\n",
    "key twice below": "variant: treatment\nsteps:\n- percent: 20\n  percent: 90\n",
    "key twice, once in quotes": f'{_PLAN}"variant": control\n',
    "aliases": f"{_BOMB}{_PLAN}",
    "merged map": f"<<: {{variant: control}}\n{_PLAN}",
    "set": "variant: treatment\nsteps: !!set {a, b}\n",
    "bytes": "variant: !!binary aGk=\nsteps:\n- percent: 20\n",
    "instant as such": "variant: treatment\nsteps:\n- {percent: 20, at: !!timestamp 2027-03-01T08:00:00}\n",
    "instant without a zone": "variant: treatment\nsteps:\n- {percent: 20, at: 2027-03-01T08:00:00}\n",
    "object": f"a: !!python/object/apply:os.getcwd []\n{_PLAN}",
    "two documents": f"{_PLAN}---\n{_PLAN}",
    "nested": f"a: {'[' * 5_000}\n",
    "half a surrogate pair": f'a: "\\ud800"\n{_PLAN}',
    "map that is a list": "variant: treatment\nsteps: !!map [[percent, 20]]\n",
    "map that is text": "!!map ab\n",
    "whole number that is empty": "variant: treatment\nsteps:\n- percent: !!int ''\n",
    "number that is a sign": "variant: treatment\nsteps:\n- percent: !!float '-'\n",
    "truth that is text": "variant: treatment\nsteps:\n- {percent: 20, approval: !!bool maybe}\n",
    "nothing": "",
    "list": "- 1\n",
}


@pytest.fixture
def put(editor: Caller, flag: FlagConfig) -> Any:
    def _put(text: str) -> Any:
        headers = {"Authorization": f"Bearer {editor.secret}", "X-Tenant-ID": str(editor.tenant)}
        return editor._client.put(
            f"/api/flags/{KEY}/rollout-plan", data=text.encode(), content_type="application/yaml", headers=headers
        )

    return _put


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE)
def test_plan__in_yaml_that_json_could_not_say__is_refused(put: Any, text: str) -> None:
    answer = put(text)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"]
    assert not RolloutPlan.objects.exists()


def test_plan__in_yaml__says_where_it_is_wrong(put: Any) -> None:
    (error,) = put("variant: treatment\nsteps:\n- percent: 20\n  percent: 90\n").json()["errors"]
    assert error["code"] == "parse_error"
    assert "the key 'percent' appears twice" in error["detail"]
    assert "line 4" in error["detail"]


def test_plan__in_yaml__has_the_kinds_of_json(put: Any) -> None:
    second = "{percent: 100, after: P1D, approval: true, at: 2099-03-01T08:00:00Z}"
    made = put(f"variant: treatment\nsteps:\n- percent: 12.5\n- {second}\n")
    assert made.status_code == 201, made.content
    steps = [{"percent": 12.5}, {"percent": 100, "after": "P1D", "approval": True, "at": "2099-03-01T08:00:00Z"}]
    assert made.json()["steps"] == steps


_TOO_LARGE = [2**64, -(2**64), 10**400, float("inf"), float("nan"), 1e19, LARGEST_NUMBER + 1]


@pytest.mark.parametrize("number", _TOO_LARGE, ids=lambda number: str(number)[:20])
def test_number__that_64_bits_do_not_hold__is_a_problem(number: float) -> None:
    assert [problem.code for problem in number_problems("n", number)] == ["out_of_range"]


@pytest.mark.parametrize("number", [0, LARGEST_NUMBER, -LARGEST_NUMBER - 1, 1e18, -0.0])
def test_number__that_64_bits_hold__is_none(number: float) -> None:
    assert number_problems("n", number) == []
