"""A segment's conditions put together as nested groups in a real browser, and read back as they were."""

import pytest
from django.urls import reverse

from flags import services
from flags.models import Segment
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def condition(row, attribute, operator, value):
    row.get_by_label("Attribute").fill(attribute)
    row.get_by_label("Comparison").select_option(label=operator)
    row.get_by_label("Value", exact=True).fill(value)


def test_segment__nested_groups__are_stored_as_they_stand(open_session, console_editor, acme):
    services.create_segment(actor=ALICE, environment=acme.staging, payload={"key": "staff", "included": ["ann"]})
    page = open_session(console_editor).visit(f"{reverse('admin:flags_segment_add')}?environment={acme.staging.pk}")
    page.get_by_label("Key").fill("beta")
    page.get_by_label("Always in").fill("alice\nbob")
    root = page.locator("[data-tree-root] > [data-group]")
    root.get_by_role("button", name="Add a condition").click()
    condition(root.locator(".fs-condition").first, "plan", "is one of", "pro, team")
    root.get_by_role("button", name="Add a group").click()
    inner = root.locator("[data-group]")
    inner.get_by_label("How the group counts").select_option(label="none of these holds")
    condition(inner.locator(".fs-condition").first, "age", "is less than", "18")
    inner.get_by_role("button", name="Add a condition").click()
    inner.get_by_label("Comparison").nth(1).select_option(label="user is in segment")
    inner.get_by_label("Value", exact=True).nth(1).fill("staff")
    page.get_by_text("plan is one of pro or team and not (age is less than 18 or user is in segment staff)").wait_for()
    page.get_by_role("button", name="Create segment").click()
    page.get_by_text("beta is there").wait_for()

    stored = Segment.objects.get(key="beta")
    assert stored.included == ["alice", "bob"]
    assert stored.conditions == {
        "all": [
            {"attribute": "plan", "operator": "in", "value": ["pro", "team"]},
            {
                "not": {
                    "any": [
                        {"attribute": "age", "operator": "less_than", "value": 18},
                        {"operator": "in_segment", "value": ["staff"]},
                    ]
                }
            },
        ]
    }


def test_segment__values_of_every_kind__come_back_exactly_when_another_field_changes(
    open_session, console_editor, acme
):
    tree = {
        "all": [
            {"attribute": "seats", "operator": "equals", "value": 10},
            {"attribute": "code", "operator": "equals", "value": "10"},
            {"attribute": "beta", "operator": "equals", "value": True},
            {"attribute": "city", "operator": "in", "value": ["a, b", "c"]},
            {"attribute": "since", "operator": "exists"},
            {"not": {"attribute": "plan", "operator": "starts_with", "value": ["a", "b"]}},
        ]
    }
    segment, _ = services.create_segment(
        actor=ALICE, environment=acme.staging, payload={"key": "beta", "conditions": tree}
    )
    page = open_session(console_editor).visit(reverse("admin:flags_segment_change", args=[segment.pk]))
    page.get_by_text("Who uses it").wait_for()
    page.get_by_label("Attribute").first.fill("places")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    segment.refresh_from_db()
    assert segment.conditions == {"all": [{**tree["all"][0], "attribute": "places"}, *tree["all"][1:]]}


def test_segment__number_that_is_none__is_not_sent(open_session, console_editor, acme):
    page = open_session(console_editor).visit(f"{reverse('admin:flags_segment_add')}?environment={acme.staging.pk}")
    page.get_by_label("Key").fill("beta")
    page.get_by_role("button", name="Add a condition").click()
    condition(page.locator(".fs-condition"), "age", "is at least", "old")
    page.get_by_role("button", name="Create segment").click()
    assert page.locator("[data-value][aria-invalid]").count() == 1
    page.get_by_label("Value", exact=True).fill("18")
    page.get_by_role("button", name="Create segment").click()
    page.get_by_text("beta is there").wait_for()
    assert Segment.objects.get().conditions["all"][0]["value"] == 18
