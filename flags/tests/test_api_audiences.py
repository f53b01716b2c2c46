"""Segments and layers over HTTP."""

import uuid

import pytest

from flags import services
from flags.models import Layer, Segment

PRO = {"all": [{"attribute": "plan", "operator": "equals", "value": "pro"}]}


def _problem(response):
    (problem,) = response.json()["errors"]
    return response.status_code, problem["attr"], problem["code"]


def test_segments__works(editor, viewer):
    made = editor.post("segments", {"key": "beta", "name": "Beta", "included": ["u1"], "conditions": PRO})

    assert made.status_code == 201
    assert made.json().items() >= {"key": "beta", "included": ["u1"], "excluded": [], "version": 1}.items()
    assert editor.post("segments", {"key": "beta", "included": ["u1"]}).status_code == 200
    assert editor.post("segments", {"key": "beta", "included": ["u2"]}).status_code == 409
    assert viewer.get("segments/beta").json() == made.json()
    assert [row["key"] for row in viewer.get("segments", search="BET").json()["results"]] == ["beta"]
    changed = editor.patch("segments/beta", {"version": 1, "excluded": ["u9"]}).json()
    assert (changed["included"], changed["excluded"], changed["version"]) == (["u1"], ["u9"], 2)
    emptied = editor.put("segments/beta", {"version": 2, "name": "Beta"}).json()
    assert (emptied["included"], emptied["conditions"]) == ([], None)
    assert editor.delete("segments/beta").status_code == 204
    assert not Segment.objects.exists()


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({"name": "x"}, "key", "required"),
        ({"key": "a b"}, "key", "invalid_key"),
        ({"key": "a", "included": "u1"}, "included", "not_a_list"),
        ({"key": "a", "conditions": {"operator": "in_segment", "value": "x"}}, "conditions.value", "malformed_value"),
        ({"key": "a", "nonsense": 1}, "nonsense", "unknown_field"),
    ],
)  # fmt: skip
def test_segments__bad_input__is_400_naming_the_field(editor, body, attr, code):
    assert _problem(editor.post("segments", body)) == (400, attr, code)


def test_segment__stale_version__is_409_with_what_is_there(editor):
    editor.post("segments", {"key": "a"})
    response = editor.patch("segments/a", {"version": 7, "name": "x"})

    assert _problem(response) == (409, "version", "version_conflict")
    assert response.json()["current"]["name"] == "a"
    assert _problem(editor.patch("segments/a", {"name": "x"})) == (400, "version", "required")


def test_segment__in_use__is_409_with_its_users(editor):
    editor.post("segments", {"key": "beta"})
    rule = {"priority": 1, "variant": "treatment", "conditions": [{"operator": "in_segment", "value": ["beta"]}]}
    editor.post("flags", {"key": "a", "rules": [rule]})
    response = editor.delete("segments/beta")

    assert _problem(response) == (409, "key", "in_use")
    assert "flag a, rule 1" in response.json()["errors"][0]["detail"]


def test_layers__works(editor, viewer, environment):
    made = editor.post("layers", {"key": "checkout", "name": "Checkout"})

    assert (made.status_code, made.json()["salt"], made.json()["experiments"]) == (201, "layer:checkout", [])
    assert editor.post("layers", {"key": "checkout", "name": "Checkout"}).status_code == 200
    experiment = uuid.uuid4()
    services.reserve_range(Layer.objects.get(), experiment, 1500)
    assert viewer.get("layers/checkout").json()["experiments"] == [{"id": str(experiment), "start": 0, "end": 1500}]
    assert editor.patch("layers/checkout", {"version": 1, "name": "Till"}).json()["name"] == "Till"
    assert _problem(editor.delete("layers/checkout")) == (409, "key", "in_use")
    services.release_range(Layer.objects.get(), experiment)
    assert editor.delete("layers/checkout").status_code == 204


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({}, "key", "required"),
        ({"key": "a b"}, "key", "invalid"),
        ({"key": "a", "name": ""}, "name", "blank"),
        ({"key": "a", "x": 1}, "x", "unknown_field"),
    ],
)
def test_layers__bad_input__is_400_naming_the_field(editor, body, attr, code):
    assert _problem(editor.post("layers", body)) == (400, attr, code)


@pytest.mark.parametrize("noun", ["segments", "layers"])
@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_every_route__outsider__gets_404(editor, outsider, noun, method):
    editor.post(noun, {"key": "a"})

    assert outsider.send(method, f"{noun}/a", {"version": 1} if method == "patch" else None).status_code == 404
    assert editor.get(f"{noun}/a").json()["version"] == 1


@pytest.mark.parametrize("noun", ["segments", "layers"])
@pytest.mark.parametrize("count", [1, 5])
def test_lists__any_number__take_the_same_queries(editor, noun, count, django_assert_num_queries):
    for number in range(count):
        editor.post(noun, {"key": f"k{number}"})
    with django_assert_num_queries(3 + (3 if noun == "layers" else 2)):
        editor.get(noun)
