"""A page belongs to the environment of its address and of its form, whatever another tab of the browser looks at."""

import json

import pytest
from django.urls import reverse

from experiments.models import Experiment, Metric
from flags import services
from flags.models import FlagConfig, Layer, Segment
from flagship.tests.crawling import Page
from tenancy.services import create_environment, create_project
from tenancy.testing import ALICE

ON = {"key": "new-search", "type": "boolean", "enabled": True, "defaultVariant": "control", "offVariant": "control"}
VARIANTS = [{"key": "control", "value": False}, {"key": "treatment", "value": True}]
PURCHASE = {"key": "purchase-rate", "name": "", "type": "binary", "eventName": "purchase", "goal": "increase"}
# What is sent to make one of each kind of thing.
MADE = {
    "flags_flagconfig": {"document": json.dumps({**ON, "variants": VARIANTS})},
    "flags_segment": {"document": json.dumps({"key": "beta", "name": "Beta", "included": ["ann"]})},
    "flags_layer": {"key": "till", "name": "", "holdout": ""},
    "experiments_metric": PURCHASE,
    "experiments_experiment": {
        "document": json.dumps({"name": "E", "flagKey": "one", "primaryMetric": "m"}),
    },
}


def add_page(name):
    return reverse(f"admin:{name}_add")


def place_of(name, acme):
    """Where the thing was made: the environments in which it is on, or its project's key."""
    if name == "flags_flagconfig":
        return list(
            FlagConfig.objects.filter(flag__key="new-search", is_enabled=True).values_list("environment", flat=True)
        )
    if name == "experiments_metric":
        return list(Metric.objects.exclude(key="m").values_list("project", flat=True))
    model = {"flags_segment": Segment, "flags_layer": Layer, "experiments_experiment": Experiment}[name]
    return list(model.objects.values_list("environment", flat=True))


@pytest.fixture
def elsewhere(acme):
    """Another project of the same organization: what the second tab looks at."""
    project = create_project(actor=ALICE, organization=acme.organization, key="app", name="App")
    return create_environment(actor=ALICE, project=project, key="production", name="Live", is_production=True)


@pytest.fixture
def ready(acme):
    """A flag and a metric to experiment with."""
    from experiments import services as experiment_services  # noqa: PLC0415 - named like the flags' services

    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "one"})
    metric = {"key": "m", "type": "binary", "eventName": "m"}
    experiment_services.create_metric(actor=ALICE, environment=acme.staging, payload=metric)


@pytest.mark.parametrize("name", MADE)
def test_form__another_tab_looks_elsewhere_meanwhile__writes_where_it_was_opened(
    console_owner, acme, elsewhere, ready, name
):
    address = f"{add_page(name)}?environment={acme.staging.pk}"
    shown = console_owner.get(address)
    form = next(form for form in Page(shown.text).forms if "environment" in form.fields and form.is_post)
    assert form.fields["environment"] == [str(acme.staging.pk)]
    console_owner.get(reverse("admin:index"), {"environment": elsewhere.pk})

    answer = console_owner.post(address, {**MADE[name], "environment": acme.staging.pk})

    assert answer.status_code == 302, answer.text
    wanted = acme.project.pk if name == "experiments_metric" else acme.staging.pk
    assert place_of(name, acme) == [wanted]
    # It leads to a page of the same environment.
    after = console_owner.get(answer.url)
    assert after.status_code == 200
    assert after.context["page_environment"] == acme.staging


@pytest.mark.parametrize("name", MADE)
def test_form__without_an_environment_or_with_two__writes_nothing(console_owner, acme, elsewhere, ready, name):
    console_owner.get(reverse("admin:index"), {"environment": acme.staging.pk})
    for address, sent in (
        (add_page(name), MADE[name]),
        (f"{add_page(name)}?environment={elsewhere.pk}", {**MADE[name], "environment": acme.staging.pk}),
    ):
        answer = console_owner.post(address, sent)
        assert answer.status_code == 400
        assert "Nothing is saved" in answer.text
    assert place_of(name, acme) == []


def test_form__about_a_thing__opened_in_another_environment__writes_nothing(console_owner, acme, ready):
    config = FlagConfig.objects.get(flag__key="one", environment=acme.staging)
    address = reverse("admin:flags_flagconfig_kill", args=[config.pk])

    answer = console_owner.post(address, {"reason": "x", "environment": acme.production.pk})

    config.refresh_from_db()
    assert (answer.status_code, config.is_killed) == (400, False)


@pytest.mark.parametrize("name", ["kill_tag", "kill_all"])
def test_kill_page__another_tab_looks_elsewhere_meanwhile__stays_where_it_was_opened(console_owner, acme, ready, name):
    moved = console_owner.get(f"{reverse('admin:index')}?environment={acme.staging.pk}")
    assert moved.status_code == 200
    first = console_owner.get(reverse(f"admin:flags_flagconfig_{name}"))
    assert first.url.endswith(f"?environment={acme.staging.pk}")
    console_owner.get(reverse("admin:index"), {"environment": acme.production.pk})

    shown = console_owner.get(first.url)

    assert shown.context["place"] == acme.staging


@pytest.mark.parametrize("name", ["jobs", "simulate"])
def test_list__named_environment__is_that_of_the_page(console_owner, console_outsider, acme, name):
    console_owner.get(reverse("admin:index"), {"environment": acme.production.pk})
    address = f"{reverse(f'admin:experiments_experiment_{name}')}?environment={acme.staging.pk}"

    assert console_owner.get(address).context["page_environment"] == acme.staging
    assert console_outsider.get(address).status_code == 404


def test_page__says_its_environment__by_name_and_colour_and_in_its_links(console_owner, acme):
    for environment, colour in ((acme.production, "production"), (acme.staging, "other-")):
        text = console_owner.get(reverse("admin:flags_flagconfig_changelist"), {"environment": environment.pk}).text
        mark = text[text.index("fs-environment fs-environment--") :].split("</span>")[0]
        assert mark.startswith(f"fs-environment fs-environment--{colour}")
        assert environment.name in mark
        for route in ("flags_segment_changelist", "experiments_experiment_changelist", "flags_flagconfig_add"):
            assert f'href="{reverse(f"admin:{route}")}?environment={environment.pk}"' in text


@pytest.mark.parametrize("name", ["flags_flagconfig", "flags_segment", "experiments_metric"])
@pytest.mark.parametrize("named", ["999999", "x", ""])
def test_list__of_an_environment_that_is_not_there__is_no_other_one(console_owner, acme, name, named):
    answer = console_owner.get(reverse(f"admin:{name}_changelist"), {"environment": named})

    assert answer.status_code == (404 if named else 302)
