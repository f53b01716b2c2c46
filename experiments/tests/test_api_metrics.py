"""Metrics over HTTP: what works, what an outsider sees, what wrong input gets."""

import pytest

METRIC = {"key": "purchase-rate", "name": "Purchases", "type": "binary", "eventName": "purchase", "goal": "increase"}


def _problem(response):
    (problem,) = response.json()["errors"]
    return response.status_code, problem["attr"], problem["code"]


def test_metrics__create_read_change_delete__works(editor, environment):
    created = editor.post("metrics", METRIC)
    assert created.status_code == 201
    assert created.json() == {**METRIC, "windowHours": None, "cap": None, "version": 1}
    assert editor.get("metrics/purchase-rate").json() == created.json()
    assert editor.get("metrics").json()["results"] == [created.json()]

    changed = editor.patch("metrics/purchase-rate", {"name": "Bought", "version": 1})
    assert (changed.status_code, changed.json()["name"], changed.json()["version"]) == (200, "Bought", 2)
    assert editor.delete("metrics/purchase-rate").status_code == 204
    assert editor.get("metrics/purchase-rate").status_code == 404


def test_metrics__same_again__is_200(editor, environment):
    editor.post("metrics", METRIC)

    assert editor.post("metrics", METRIC).status_code == 200
    assert _problem(editor.post("metrics", {**METRIC, "eventName": "refund"})) == (409, "key", "key_exists")


def test_metrics__ratio_and_quantile__show_what_belongs_to_them(editor, environment):
    ratio = {**METRIC, "key": "r", "type": "ratio", "denominatorEventName": "view"}
    quantile = {**METRIC, "key": "q", "type": "quantile", "quantile": 0.95, "goal": "decrease"}

    assert editor.post("metrics", ratio).json()["denominatorEventName"] == "view"
    assert editor.post("metrics", quantile).json()["quantile"] == 0.95


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({**METRIC, "type": "colour"}, (400, "type", "invalid_choice")),
        ({**METRIC, "windowHours": 0}, (400, "windowHours", "min_value")),
        ({**METRIC, "key": "no spaces"}, (400, "key", "invalid")),
        ({**METRIC, "eventName": ""}, (400, "eventName", "blank")),
        ({**METRIC, "colour": 1}, (400, "colour", "unknown_field")),
    ],
)
def test_metrics__wrong_input__is_refused_with_the_field(editor, environment, body, problem):
    assert _problem(editor.post("metrics", body)) == problem


def test_metrics__no_version__is_refused(editor, environment):
    editor.post("metrics", METRIC)

    assert _problem(editor.patch("metrics/purchase-rate", {"name": "x"})) == (400, "version", "required")
    assert _problem(editor.patch("metrics/purchase-rate", {"name": "x", "version": 5})) == (
        409,
        "version",
        "version_conflict",
    )


def test_metrics__viewer__may_read_and_not_write(editor, viewer, environment):
    editor.post("metrics", METRIC)

    assert viewer.get("metrics/purchase-rate").status_code == 200
    assert viewer.post("metrics", {**METRIC, "key": "b"}).status_code == 403
    assert viewer.delete("metrics/purchase-rate").status_code == 403


def test_metrics__outsider__sees_nothing(editor, outsider, environment):
    editor.post("metrics", METRIC)

    assert outsider.get("metrics").json()["results"] == []
    assert outsider.get("metrics/purchase-rate").status_code == 404
    assert outsider.delete("metrics/purchase-rate").status_code == 404


def test_metrics__server_key__may_not(key, environment):
    assert key("server").get("metrics").status_code == 403
