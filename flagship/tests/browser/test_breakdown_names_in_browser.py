"""The designer offers attributes for the breakdowns: after the last comma, without those that are there already."""

import pytest
from django.urls import reverse

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_breakdowns__second_name__is_offered_after_the_first(open_session, console_editor, acme):
    page = open_session(console_editor).visit(
        f"{reverse('admin:experiments_experiment_add')}?environment={acme.staging.pk}"
    )

    page.get_by_label("Break results down by").fill("country, ")

    offered = page.locator("#attribute-list option").evaluate_all("options => options.map((option) => option.value)")
    assert "country, plan" in offered
    assert not [value for value in offered if "userId" in value or value == "country, country"]
