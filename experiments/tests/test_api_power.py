"""Power over HTTP: two of users, effect and power give the third, and they agree with one another."""

import pytest


def _problem(response):
    (problem,) = response.json()["errors"]
    return response.status_code, problem["attr"], problem["code"]


def test_power__users_for_a_rate__is_what_r_says(viewer):
    # power.prop.test(p1 = .10, p2 = .12, power = .80): n = 3840.847
    found = viewer.post("experiments/power", {"baseline": 0.1, "minimumDetectableEffect": 0.2, "power": 0.8}).json()

    assert found["usersPerArm"] == {"control": 3841, "treatment": 3841}
    assert (found["users"], found["absoluteEffect"]) == (7682, pytest.approx(0.02))


def test_power__three_ways_round__agree(viewer):
    users = viewer.post("experiments/power", {"baseline": 0.1, "minimumDetectableEffect": 0.2, "power": 0.8}).json()
    power = viewer.post(
        "experiments/power", {"baseline": 0.1, "minimumDetectableEffect": 0.2, "users": users["users"]}
    ).json()
    effect = viewer.post("experiments/power", {"baseline": 0.1, "power": 0.8, "users": users["users"]}).json()

    assert power["power"] == pytest.approx(0.8, abs=1e-3)
    assert effect["minimumDetectableEffect"] == pytest.approx(0.2, abs=1e-3)


def test_power__several_looks__ask_for_more_users(viewer):
    once = {"baseline": 0.1, "minimumDetectableEffect": 0.2, "power": 0.8}
    often = viewer.post("experiments/power", {**once, "method": "obrien_fleming", "looks": 14}).json()

    assert 1.01 < often["inflation"] < 1.1
    assert often["users"] > 7682


def test_power__mean__works(viewer):
    found = viewer.post(
        "experiments/power",
        {"type": "continuous", "baseline": 20, "standardDeviation": 10, "users": 2000, "power": 0.8},
    ).json()

    # The sum of the two normal quantiles, 2.801585, times 10, times the root of 2 / 1000.
    assert found["absoluteEffect"] == pytest.approx(1.252907, abs=1e-5)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"baseline": 0.1}, ("users", "two_of_three")),
        ({"baseline": 0.1, "users": 10, "power": 0.8, "minimumDetectableEffect": 1}, ("users", "two_of_three")),
        ({"baseline": 1.5, "users": 10, "power": 0.8}, ("baseline", "out_of_range")),
        ({"baseline": 0.6, "minimumDetectableEffect": 1, "power": 0.8}, ("minimumDetectableEffect", "out_of_range")),
        ({"baseline": 0.6, "users": 100, "power": 1}, ("power", "out_of_range")),
        ({"type": "continuous", "baseline": 1, "users": 100, "power": 0.8}, ("standardDeviation", "out_of_range")),
        ({"users": 100, "power": 0.8}, ("baseline", "required")),
        ({"baseline": 0.1, "users": 100, "power": 0.8, "colour": 1}, ("colour", "unknown_field")),
    ],
)
def test_power__wrong_question__is_refused_with_the_field(viewer, body, problem):
    assert _problem(viewer.post("experiments/power", body)) == (400, *problem)


def test_power__nothing_could_reach_it__is_null_with_the_reason(viewer):
    found = viewer.post("experiments/power", {"baseline": 0.5, "users": 4, "power": 0.99}).json()

    assert found["minimumDetectableEffect"] is None
    assert "would not reach" in found["reason"]
