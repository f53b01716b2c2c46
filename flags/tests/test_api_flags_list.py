"""The list of flags over HTTP: its filters, its search, its pages, and that its queries do not grow."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from flags.models import Flag, FlagConfig

RULE = {
    "priority": 10,
    "variant": "treatment",
    "conditions": [{"attribute": "country", "operator": "equals", "value": "US"}],
}
# Who calls, which environment, which role.
DOOR_QUERIES = 3
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def test_list__works(editor, viewer, make_flag):
    make_flag("b", tags=["checkout"])
    make_flag("a", name="Dark mode")

    body = viewer.get("flags").json()
    assert (body["count"], body["next"], body["previous"]) == (2, None, None)
    assert [flag["key"] for flag in body["results"]] == ["a", "b"]
    assert viewer.get("flags/a").json() == body["results"][0]


def test_list__filters__narrow(viewer, editor, make_flag):
    make_flag("pay.on", tags=["money"], name="Payments")
    make_flag("pay.off", enabled=False)
    make_flag("old")
    make_flag("size", type="string", variants=[{"key": "s", "value": "s"}, {"key": "l", "value": "l"}])
    make_flag("hot")
    editor.delete("flags/old")
    editor.post("flags/hot/kill", {"reason": "fire"})

    def keys(**query):
        return [flag["key"] for flag in viewer.get("flags", **query).json()["results"]]

    assert keys() == ["hot", "pay.off", "pay.on", "size"]
    assert keys(state="on") == ["pay.on", "size"]
    assert keys(state="off") == ["pay.off"]
    assert keys(state="archived") == ["old"]
    assert keys(state="killed") == ["hot"]
    assert keys(state="all") == ["hot", "old", "pay.off", "pay.on", "size"]
    assert keys(tag="money") == ["pay.on"]
    assert keys(type="string") == ["size"]
    assert keys(prefix="pay.") == ["pay.off", "pay.on"]
    assert keys(search="PAYM") == ["pay.on"]
    assert keys(search="money") == ["pay.on"]


def test_list__pages__are_linked(viewer, make_flag):
    for number in range(5):
        make_flag(f"f{number}")
    body = viewer.get("flags", page="2", pageSize="2").json()

    assert [flag["key"] for flag in body["results"]] == ["f2", "f3"]
    assert "page=3" in body["next"]
    assert body["previous"] is not None


@pytest.mark.parametrize(
    ("query", "status", "attr"),
    [
        ({"state": "sleepy"}, 400, "state"),
        ({"type": "colour"}, 400, "type"),
        ({"page": "99"}, 404, None),
        *(({"pageSize": size}, 400, "pageSize") for size in ("", "0", "-1", "2.5", "many", "\u0663", "201", "9" * 30)),
    ],
)
def test_list__bad_query__is_refused_by_name(viewer, make_flag, query, status, attr):
    make_flag("a")
    response = viewer.get("flags", **query)

    assert (response.status_code, response.json()["errors"][0]["attr"]) == (status, attr)


@pytest.mark.parametrize("query", [{}, {"search": "f"}, {"stale": "false"}, {"stale": "true"}])
def test_list__any_number_of_flags__takes_the_same_queries(viewer, make_flag, query):
    taken = []
    for count in (1, 7):
        while (there := Flag.objects.count()) < count:
            make_flag(f"f{there}", rules=[RULE])
        FlagConfig.objects.update(updated_at=LONG_AGO)
        Flag.objects.update(updated_at=LONG_AGO)
        with CaptureQueriesContext(connection) as queries:
            assert viewer.get("flags", **query).status_code == 200
        taken.append(len(queries))

    assert taken[0] == taken[1]
    if "stale" not in query:
        assert taken[0] == DOOR_QUERIES + 4


@pytest.mark.parametrize("wildcard", ["%", "_", "\\", "a%b", "'", '"', "☃"])
def test_list__search_for_a_wildcard__finds_it_as_written(viewer, make_flag, wildcard):
    make_flag("plain", name="An ab of no consequence")
    make_flag("odd", name=f"Before {wildcard} after")

    assert [flag["key"] for flag in viewer.get("flags", search=wildcard).json()["results"]] == ["odd"]
    assert viewer.get("flags", prefix="o_").json()["count"] == 0


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999999999999999999", "1e3", ""])
def test_list__page_that_is_not_there__is_404(viewer, make_flag, page):
    make_flag("a")
    assert viewer.get("flags", page=page).status_code == (404 if page else 200)
