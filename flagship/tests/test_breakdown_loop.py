"""An attribute on real servers: sent with an evaluation, kept beside its exposure, a segment of the results."""

import pytest

from flagship.tests.stack import Stack, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("stack")]

FLAG = {"key": "sliced", "enabled": True, "rollout": [{"variant": "treatment", "percent": 50}]}
EXPERIMENT = {"name": "Sliced", "flagKey": "sliced", "primaryMetric": "sliced-rate", "breakdowns": ["tier"]}


def _made(stack: Stack, path: str, body: dict[str, object]) -> dict[str, object]:
    answer = stack.manage("POST", path, body)
    assert answer.status in {200, 201}, answer.data
    made: dict[str, object] = answer.json()
    return made


def test_results__by_an_attribute_of_evaluations__have_its_segments(stack: Stack) -> None:
    _made(stack, "/api/flags", FLAG)
    _made(stack, "/api/metrics", {"key": "sliced-rate", "type": "binary", "eventName": "sliced"})
    experiment = _made(stack, "/api/experiments", EXPERIMENT)["id"]
    _made(stack, f"/api/experiments/{experiment}/start", {})
    users = iter(range(100_000))

    def segments(name: str) -> dict[str, int]:
        """Somebody new comes each time: what an experiment wants kept is known to every process within seconds."""
        user = f"sliced-{next(users)}"
        body = {
            "flagKey": "sliced",
            "userId": user,
            "attributes": {"country": "DE", "tier": 3, "email": "a@example.com"},
        }
        stack.call("POST", "/api/evaluate", body)
        answer = stack.manage("GET", f"/api/experiments/{experiment}/results", segment=name)
        assert answer.status == 200, answer.data
        return {row["value"]: row["users"] for row in answer.json()["breakdown"]["segments"]}

    assert eventually(lambda: segments("country").get("DE"), what="a user of DE in the results")
    assert eventually(lambda: segments("tier").get("3"), what="a user of tier 3 in the results")
    assert segments("email") == {}
