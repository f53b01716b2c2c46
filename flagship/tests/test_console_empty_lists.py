"""Lists with nothing in them say what the things are for, and offer to begin to whoever may begin."""

import pytest
from django.urls import reverse

PAGES = {
    "flags_flagconfig": "No flags here yet",
    "flags_segment": "No segments here yet",
    "flags_layer": "No layers here yet",
    "experiments_experiment": "No experiments here yet",
    "experiments_metric": "No metrics yet",
    "tenancy_serviceaccount": "No service accounts yet",
    "tenancy_credential": "No keys or tokens yet",
    "integrations_webhookendpoint": "No webhooks yet",
}


@pytest.mark.parametrize("name", PAGES)
def test_list__empty__teaches_once_and_offers_to_begin(console_owner, acme, name):
    text = console_owner.get(reverse(f"admin:{name}_changelist"), follow=True).text

    assert text.count(PAGES[name]) == 1
    place = "" if name.startswith(("tenancy", "integrations")) else f"?environment={acme.production.pk}"
    assert f'class="fs-button fs-button--primary" href="{reverse(f"admin:{name}_add")}{place}"' in text


@pytest.mark.parametrize("name", ["flags_flagconfig", "flags_layer", "experiments_experiment", "experiments_metric"])
def test_list__empty_for_a_viewer__offers_nothing(console_viewer, acme, name):
    text = console_viewer.get(reverse(f"admin:{name}_changelist"), follow=True).text

    assert PAGES[name] in text
    assert reverse(f"admin:{name}_add") not in text


@pytest.mark.parametrize("name", PAGES)
def test_list__search_that_finds_nothing__offers_to_show_all(console_owner, acme, name):
    text = console_owner.get(reverse(f"admin:{name}_changelist"), {"q": "nothing-like-it"}, follow=True).text

    assert "Nothing matches" in text
    assert PAGES[name] not in text


def test_list__title__is_what_the_navigation_calls_it(console_owner, acme):
    for name, title in (("membership", "Members"), ("credential", "Keys and tokens"), ("project", "Projects")):
        assert f"<title> {title} | FlagShip" in " ".join(
            console_owner.get(reverse(f"admin:tenancy_{name}_changelist")).text.split()
        )
