"""The main job, end to end, as a newcomer meets it: `manage.py run` on a folder of its own, and HTTP from outside."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from openflagship.engine import CompiledEnvironment, Context
from openflagship.ids import uuid7

from flagship.tests.stack import Stack, eventually

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("stack")]


def test_demo_file__holds_secrets__for_its_owner_alone(stack: Stack) -> None:
    assert (stack.var_dir / "demo.json").stat().st_mode & 0o777 == 0o600


def test_exposure__after_an_evaluation__is_a_row(stack: Stack) -> None:
    answer = stack.evaluate("loop-user-1")
    rows = eventually(
        lambda: stack.rows("SELECT unit_id, variant FROM exposures WHERE evaluation_id = %s", answer["evaluationId"]),
        what="the exposure's row",
    )

    assert rows == [("loop-user-1", answer["variant"])]


def test_exposure__same_evaluation_id_twice__is_one_row(stack: Stack) -> None:
    event = {
        "evaluationId": str(uuid7()),
        "flagKey": "dark-mode",
        "userId": "loop-user-2",
        "variant": "treatment",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    marker = {**event, "evaluationId": str(uuid7()), "userId": "loop-marker"}
    for body in (event, event, {"events": [event, event]}, marker):
        response = stack.call("POST", "/api/events/exposure", body)
        assert response.status == 202, response.data
    eventually(
        lambda: stack.rows("SELECT 1 FROM exposures WHERE evaluation_id = %s", marker["evaluationId"]),
        what="the marker behind them",
    )

    assert stack.rows("SELECT count(*) FROM exposures WHERE evaluation_id = %s", event["evaluationId"]) == [(1,)]


def test_conversion__same_id_twice__is_one_row(stack: Stack) -> None:
    event = {"id": "order-4711", "userId": "loop-user-3", "eventName": "purchase", "value": 12.5}
    for _ in range(2):
        assert stack.call("POST", "/api/events/conversion", event).status == 202
    eventually(
        lambda: stack.rows("SELECT 1 FROM conversions WHERE unit_id = 'loop-user-3'"), what="the conversion's row"
    )
    assert stack.call("POST", "/api/events/conversion", {**event, "userId": "loop-user-4", "id": "x"}).status == 202
    eventually(lambda: stack.rows("SELECT 1 FROM conversions WHERE unit_id = 'loop-user-4'"), what="the marker")

    assert stack.rows("SELECT count(*) FROM conversions WHERE unit_id = 'loop-user-3'") == [(1,)]


def test_kill__from_outside__changes_the_next_answers_on_every_worker(stack: Stack) -> None:
    eventually(
        lambda: all(stack.evaluate(f"u{n}", "dark-mode")["variant"] == "treatment" for n in range(20)),
        what="nobody else's drill is going on",
    )
    response = stack.manage("POST", "/api/flags/dark-mode/kill", {"variant": "control", "reason": "drill"})
    assert response.status == 202, response.data
    version = response.json()["configVersion"]

    def killed_everywhere() -> bool:
        answers = [stack.evaluate(f"u{n}", "dark-mode") for n in range(20)]
        return all(
            (answer["variant"], answer["reason"]) == ("control", "KILL_SWITCH") and answer["configVersion"] >= version
            for answer in answers
        )

    eventually(killed_everywhere, what="every worker obeys the kill switch")
    assert stack.manage("POST", "/api/flags/dark-mode/kill/release", {}).status == 202
    eventually(
        lambda: all(stack.evaluate(f"u{n}", "dark-mode")["variant"] == "treatment" for n in range(20)),
        what="every worker has heard the release",
    )


def test_evaluate__two_web_processes_and_the_engine_alone__agree_on_ten_thousand_users(stack: Stack) -> None:
    flag = {
        "key": "parity",
        "enabled": True,
        "type": "string",
        "variants": [{"key": name, "value": name} for name in ("a", "b", "c")],
        "rollout": [{"variant": "a", "percent": 33.33}, {"variant": "b", "percent": 33.33}],
    }
    created = stack.manage("POST", "/api/flags", flag)
    assert created.status == 201, created.data
    document = stack.rows(
        "SELECT document, version FROM flags_change WHERE key = 'parity' ORDER BY version DESC LIMIT 1"
    )
    engine = CompiledEnvironment.from_document(
        {
            "contract": 1,
            "environment": {"organization": "acme", "project": "web", "key": "production", "salt": ""},
            "version": document[0][1],
            "flags": {"parity": document[0][0]},
            "segments": {},
        }
    )
    eventually(
        lambda: all(
            stack.call("POST", "/api/evaluate", {"flagKey": "parity", "userId": "x"}).status == 200 for _ in range(20)
        ),
        what="every worker knows the flag",
    )
    users = [f"user-{number}" for number in range(10_000)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda user: stack.evaluate(user, "parity"), users))

    expected = [engine.evaluate("parity", Context(user, {})).variant for user in users]
    assert [answer["variant"] for answer in answers] == expected


def test_rollout__from_25_to_50_percent__moves_nobody_out_of_treatment(stack: Stack) -> None:
    created = stack.manage(
        "POST",
        "/api/flags",
        {"key": "growing", "enabled": True, "rollout": [{"variant": "treatment", "percent": 25}]},
    )
    assert created.status == 201, created.data
    users = [f"user-{number}" for number in range(1000)]
    eventually(
        lambda: all(
            stack.call("POST", "/api/evaluate", {"flagKey": "growing", "userId": "x"}).status == 200 for _ in range(20)
        ),
        what="every worker knows the flag",
    )
    before = {user for user in users if stack.evaluate(user, "growing")["value"]}
    grown = stack.manage(
        "PATCH", "/api/flags/growing", {"version": 1, "rollout": [{"variant": "treatment", "percent": 50}]}
    )
    assert grown.status == 200, grown.data
    eventually(
        lambda: (
            len({stack.evaluate("x", "growing")["configVersion"] for _ in range(20)}) == 1
            and stack.evaluate("x", "growing")["configVersion"] > 0
            and all(stack.evaluate(user, "growing")["value"] for user in before)
        ),
        what="everyone in treatment is still in it",
    )
    after = {user for user in users if stack.evaluate(user, "growing")["value"]}

    assert before < after
    assert 0.44 < len(after) / len(users) < 0.56


def test_demo_experiment__results__tell_the_known_story(stack: Stack) -> None:
    listed = stack.manage("GET", "/api/experiments").json()
    experiment = next(item for item in listed["results"] if item["flagKey"] == "new-checkout")
    # The demo's own seven days: users of the other tests on this stack have come since.
    start = datetime.fromisoformat(experiment["startedAt"])
    window = f"{start.isoformat()}/{(start + timedelta(days=7)).isoformat()}"
    results = stack.manage("GET", f"/api/experiments/{experiment['id']}/results", window=window).json()

    figures = {variant["key"]: (variant["users"], variant["conversions"]) for variant in results["variants"]}
    comparison = next(item for item in results["comparisons"] if item["variant"] == "treatment")
    assert figures == {"control": (500, 50), "treatment": (500, 70)}
    assert comparison["absoluteLift"] == pytest.approx(0.04)
    assert results["srm"]["warning"] is False
    assert [day["warning"] for day in results["srm"]["daily"]].count(True) == 1


def test_metrics__after_evaluations__count_them_over_the_workers(stack: Stack) -> None:
    def total() -> float:
        text = stack.http.request("GET", stack.demo["baseUrl"] + "/metrics").data.decode()
        return sum(
            float(found) for found in re.findall(r'flagship_evaluations_total\{reason="[A-Z_]+"\} ([\d.e+]+)', text)
        )

    before = total()
    for number in range(50):
        stack.evaluate(f"metrics-{number}")
    # A process tells its counts now and then, and with every poll.
    eventually(lambda: total() >= before + 50, what="every worker has told what it counted")
