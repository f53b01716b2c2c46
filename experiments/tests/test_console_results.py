"""The results page's breakdown, its charts as files, and what a stored result's permanent address gives."""

from datetime import timedelta
from xml.etree import ElementTree

import pytest
from django.urls import reverse

from analytics.events import Batch
from analytics.services import store_events
from experiments import services
from experiments.admin.charts import lift_over_time
from experiments.analysis import window_of
from flags import services as flag_services
from tenancy.testing import ALICE

from .conftest import START, conversion, exposure

SVG = "{http://www.w3.org/2000/svg}"
COUNTRIES = {"DE": (60, 30), "FR": (20, 10)}


@pytest.fixture
def running(acme):
    environment = acme.production
    rollout = [{"variant": "treatment", "percent": 50}]
    flag_services.create_flag(
        actor=ALICE, environment=environment, payload={"key": "new-checkout", "enabled": True, "rollout": rollout}
    )
    metric = {"key": "purchase-rate", "name": "Purchases", "type": "binary", "eventName": "purchase"}
    services.create_metric(actor=ALICE, environment=environment, payload=metric)
    content = {"name": "Checkout", "flagKey": "new-checkout", "primaryMetric": "purchase-rate"}
    draft = services.create_experiment(actor=ALICE, environment=environment, payload=content)
    experiment, _ = services.start_experiment(actor=ALICE, environment=environment, pk=draft.pk, at=START)
    exposures, conversions, at = [], [], START + timedelta(hours=1)
    for variant in ("control", "treatment"):
        for country, (users, bought) in COUNTRIES.items():
            for number in range(users):
                unit = f"{variant}-{country}-{number}"
                exposures.append(exposure(experiment, unit, variant, at, f'{{"country": "{country}"}}'))
                if number < bought:
                    conversions.append(conversion(experiment, unit, at + timedelta(minutes=1)))
    exposures.append(exposure(experiment, "nobody-knows", "control", at))
    store_events(Batch(exposures, conversions))
    return experiment


def url(experiment, page, *more):
    return reverse(f"admin:experiments_experiment_{page}", args=[experiment.pk, *more])


def test_results__segment__are_broken_down_with_a_chart(console_viewer, running):
    page = console_viewer.get(url(running, "results"), {"segment": "country"})

    found = page.context["payload"]["breakdown"]
    assert [(row["value"], row["users"]) for row in found["segments"]] == [("DE", 120), ("FR", 40)]
    chart = page.context["figures"]["breakdown"]
    assert [row["name"] for row in chart.chart["rows"]] == ["DE: treatment", "FR: treatment"]
    assert chart.file.endswith("/charts/breakdown.svg?segment=country")
    assert "Figures by country" in page.text
    assert "1 users came without it." in page.text


def test_results__segment_nobody_carries__says_how_to_get_it(console_viewer, running):
    page = console_viewer.get(url(running, "results"), {"segment": "tier"})

    assert "breakdown" not in page.context["figures"]
    assert "No exposure of this experiment carries" in page.text


@pytest.mark.parametrize("name", ["users-per-day", "users-so-far", "lift", "breakdown"])
def test_chart__as_a_file__is_an_svg_with_its_text(console_viewer, running, name):
    answer = console_viewer.get(url(running, "chart", name), {"segment": "country"})

    assert answer["Content-Type"] == "image/svg+xml"
    assert answer["Content-Disposition"] == f'attachment; filename="{name}-{running.pk}.svg"'
    root = ElementTree.fromstring(answer.content)
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title")
    assert root.findtext(f"{SVG}desc")
    assert len(root.findall(f"{SVG}text")) > 3


def test_chart__unknown_or_anothers__is_not_found(console_viewer, console_outsider, running):
    assert console_viewer.get(url(running, "chart", "pie")).status_code == 404
    assert console_viewer.get(url(running, "chart", "breakdown")).status_code == 404
    assert console_outsider.get(url(running, "chart", "lift")).status_code == 404


def test_stored__has_a_permanent_link_and_files_of_its_own(console_viewer, running):
    row, _ = services.store_results(experiment=running, window=window_of(running))
    at = START + timedelta(hours=2)
    store_events(Batch([exposure(running, "later", "control", at)], []))

    page = console_viewer.get(url(running, "stored", row.pk))
    table = console_viewer.get(url(running, "stored_export", row.pk)).text
    chart = console_viewer.get(url(running, "stored_chart", row.pk, "users-so-far"))

    assert f'<code id="permanent" tabindex="0">http://testserver{url(running, "stored", row.pk)}</code>' in page.text
    assert "control,81,40," in table
    assert "control 81" in ElementTree.fromstring(chart.content).findtext(f"{SVG}desc")


def test_export__segment__has_a_row_for_each_value(console_viewer, running):
    table = console_viewer.get(url(running, "export"), {"segment": "country"}).text

    assert "country,variant,users," in table
    assert "DE,treatment,120,0.0," in table


@pytest.mark.parametrize(("is_rate", "percent", "last"), [(True, True, "+170.00 points"), (False, False, "+1.7")])
def test_lift_over_time__of_a_rate_or_of_values__is_in_points_or_in_their_own_unit(is_rate, percent, last):
    item = {"role": "primary", "variant": "treatment", "metric": "m", "absoluteLift": 1.7, "sequentialCi": [-0.5, 4.0]}
    stored = [{"window": {"until": f"2026-03-0{day}T00:00:00Z"}, "comparisons": [item]} for day in (1, 2)]
    chart = lift_over_time(stored, "treatment", "m", is_rate=is_rate)

    assert chart["percent"] is percent
    assert chart["table"]["rows"][-1][1] == last
    assert chart["description"].endswith(f"the last is {last}.")
