"""The results page's breakdown, its charts as files, and what a stored result's permanent address gives."""

import re
from datetime import timedelta
from xml.etree import ElementTree

import pytest
from django.urls import reverse
from msgspec.structs import replace

from analytics.event_records import Batch
from analytics.services import store_events
from experiments import services
from experiments.admin.results import results_page as results
from experiments.admin.results.charts import lift_over_time
from experiments.admin.results.shown_comparisons import has_results, ratio_banner
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
    exposures.append(replace(exposure(experiment, "nobody-knows", "control", at), is_prefetched=True))
    store_events(Batch(exposures, conversions))
    return experiment


def url(experiment, page, *more):
    return reverse(f"admin:experiments_experiment_{page}", args=[experiment.pk, *more])


def test_results__prefetched_exposures__are_counted_apart(console_viewer, running):
    text = console_viewer.get(url(running, "results")).content.decode()

    assert re.search(r"<dt>Exposures prefetched in bulk answers</dt><dd>1</dd>", text)
    assert "1 exposure comes from bulk answers (prefetched)" in text


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


def test_export__every_metric_and_guardrail__has_its_figures_per_variant(console_viewer, acme):
    experiment = _with_revenue(acme)

    table = console_viewer.get(url(experiment, "export")).text.splitlines()

    assert "purchase-rate,control,80,40,0.5,,40.0" in table
    assert "revenue,treatment,80,,,2.5,200.0" in table
    head = "guardrail,variant,control,treatment,relativeLift,marginPercent,bound,pValue,status,exploratorySince"
    assert head in table
    assert any(row.startswith("complaints,treatment,") for row in table)


def test_results__secondary_metric__shows_what_its_difference_is_between(console_viewer, acme):
    page = console_viewer.get(url(_with_revenue(acme), "results")).text

    found = re.sub(r">\s+<", "><", page[page.index("Secondary metrics per variant") :])
    assert '<th scope="row">treatment</th><td class="fs-number">80</td><td class="fs-number">200</td>' in found
    assert '<td class="fs-number">+0.5</td><td class="fs-number">+25.0 %</td>' in found


@pytest.mark.parametrize("is_cuped", [False, True])
def test_results__rate__differs_in_points_adjusted_or_not(console_viewer, acme, is_cuped):
    page = console_viewer.get(url(_with_revenue(acme, cuped=is_cuped), "results"))

    (item,) = page.context["primary"]
    assert (item["varianceReduction"] is not None) is is_cuped
    assert f'<td class="fs-number">{100 * item["absoluteLift"]:+.2f} points</td>' in page.text
    (reason, *_) = page.context["payload"]["recommendation"]["reasons"]
    assert reason.startswith(f"purchase-rate: treatment {100 * item['absoluteLift']:+.2f} points (lift ")


@pytest.fixture
def awaited(running, monkeypatch):
    """`running`, with one user more than those whose figures are there with the page."""
    monkeypatch.setattr(results, "AT_ONCE_USERS", 160)
    return running


def test_results__of_very_many__are_awaited_and_come_as_a_part(console_viewer, awaited):
    page = console_viewer.get(url(awaited, "results"), {"segment": "country"})
    part = console_viewer.get(url(awaited, "results"), {"segment": "country", "part": "figures"})
    whole = console_viewer.get(url(awaited, "results"), {"segment": "country", "whole": "1"})

    assert "payload" not in page.context
    assert "phase 1" in page.text
    assert "out of 161 users" in page.text
    assert 'data-load="?segment=country&amp;part=figures"' in page.text
    assert 'url=?segment=country&amp;whole=1"' in page.text
    for answer in (part, whole):
        assert [row["users"] for row in answer.context["payload"]["variants"]] == [81, 80]
        assert "Figures by country" in answer.text
        assert answer.context["figures"]["lift"].file.endswith("/charts/lift.svg?segment=country")
    assert "<html" not in part.text
    assert 'data-load="?' not in whole.text


def test_results__of_as_many_as_come_at_once__are_on_the_page(console_viewer, running, monkeypatch):
    monkeypatch.setattr(results, "AT_ONCE_USERS", 161)

    assert "payload" in console_viewer.get(url(running, "results")).context


def test_results__of_very_many_in_a_window_that_is_none__says_what_to_ask_for(console_viewer, awaited):
    page = console_viewer.get(url(awaited, "results"), {"window": "soon"})

    assert "Give a number of days or hours" in page.text
    assert 'data-load="?' not in page.text


def test_results__of_very_many__as_stored__are_on_the_page(console_viewer, awaited):
    row, _ = services.store_results(experiment=awaited, window=window_of(awaited))

    assert "payload" in console_viewer.get(url(awaited, "stored", row.pk)).context
    assert url(awaited, "stored", row.pk) in console_viewer.get(url(awaited, "results")).text


def test_complete__of_very_many__awaits_what_the_results_say(console_editor, awaited):
    page = console_editor.get(url(awaited, "complete"))
    part = console_editor.get(f"{url(awaited, 'results')}?part=recommendation")

    assert "The results say" not in page.text
    assert f'data-load="{url(awaited, "results")}?part=recommendation"' in page.text
    assert part.context["payload"]["recommendation"]["text"] in part.text


def _with_revenue(acme, **analysis):
    """Each arm has 80 users, of whom 40 buy, for 4 in one and 5 in the other; some of them did so before."""
    environment, at = acme.production, START + timedelta(hours=1)
    flag_services.create_flag(
        actor=ALICE,
        environment=environment,
        payload={"key": "cart", "enabled": True, "rollout": [{"variant": "treatment", "percent": 50}]},
    )
    for key, kind, event in [
        ("purchase-rate", "binary", "purchase"),
        ("revenue", "continuous", "purchase"),
        ("complaints", "binary", "complaint"),
    ]:
        metric = {"key": key, "type": kind, "eventName": event}
        services.create_metric(actor=ALICE, environment=environment, payload=metric)
    content = {
        "name": "Cart",
        "flagKey": "cart",
        "primaryMetric": "purchase-rate",
        "secondaryMetrics": ["revenue"],
        "guardrails": [{"metric": "complaints", "marginPercent": 10, "action": "warn"}],
        "analysis": analysis,
    }
    draft = services.create_experiment(actor=ALICE, environment=environment, payload=content)
    experiment, _ = services.start_experiment(actor=ALICE, environment=environment, pk=draft.pk, at=START)
    exposures, conversions = [], []
    for variant, value in (("control", 4), ("treatment", 5)):
        for number in range(80):
            unit = f"{variant}-{number}"
            exposures.append(exposure(experiment, unit, variant, at))
            if number < 40:
                conversions.append(conversion(experiment, unit, at + timedelta(minutes=1), value=value))
            if number % 3 == 0:
                conversions.append(conversion(experiment, unit, START - timedelta(days=1)))
    store_events(Batch(exposures, conversions))
    return experiment


@pytest.mark.parametrize(("is_rate", "unit", "last"), [(True, "points", "+170.00 points"), (False, "number", "+1.7")])
def test_lift_over_time__of_a_rate_or_of_values__is_in_points_or_in_their_own_unit(is_rate, unit, last):
    item = {"role": "primary", "variant": "treatment", "metric": "m", "absoluteLift": 1.7, "sequentialCi": [-0.5, 4.0]}
    stored = [{"window": {"until": f"2026-03-0{day}T00:00:00Z"}, "comparisons": [item]} for day in (1, 2)]
    chart = lift_over_time(stored, "treatment", "m", is_of_rates=is_rate)

    assert chart["unit"] == unit
    assert chart["table"]["rows"][-1][1] == last
    assert chart["description"].endswith(f"the last is {last}.")


def test_results__one_row__leads_with_the_interval_that_decides_and_folds_the_others(console_viewer, running):
    """Found C16: three intervals stood side by side for one difference."""
    page = console_viewer.get(url(running, "results"))

    (item,) = page.context["primary"]
    assert item["shown"].interval == (item["lookCi"] or item["sequentialCi"] or item["ci"])
    names = [other.name for other in item["shown"].others]
    assert names[0] == "All users so far, as if looked at once"
    assert "Credible interval, flat prior" in names
    assert page.text.count("Interval that decides") == 1
    assert page.text.index("Other intervals of the same differences") > page.text.index("Interval that decides")


def _results_with(reason, *, warning=False, alarm=False, flagged=False, reasons=()):
    day = {"date": "2026-03-04", "warning": flagged}
    return {
        "recommendation": {"reason": reason, "reasons": list(reasons)},
        "srm": {"pValue": 0.5, "warning": warning, "alarm": alarm, "daily": [day]},
    }


@pytest.mark.parametrize(
    ("results", "tone", "words"),
    [
        (_results_with("better"), "good", "fine."),
        (_results_with("better", flagged=True, alarm=True), "warn", "off on single days"),
        (_results_with("better", warning=True), "warn", "the sequential check decides"),
        (_results_with("data", alarm=True, reasons=["Sample ratio: 700 : 500 users"]), "bad", "mismatch"),
        (_results_with("data", reasons=["No user of B has been seen."]), "good", "fine."),
    ],
)
def test_ratio_banner__says_what_its_colour_says(results, tone, words):
    """Found C16: "Sample ratio: fine" in orange, and an alarm on the next line."""
    banner = ratio_banner(results)

    assert (banner.tone, words in banner.text) == (tone, True)
    assert has_results(results) is (results["recommendation"]["reason"] != "data")


def test_lift_over_time__share_above_a_tied_quantile__is_in_points_and_of_the_users_who_decide():
    figure = {"role": "primary", "variant": "treatment", "metric": "m", "absoluteLift": 20.0, "sequentialCi": None}
    share = {**figure, "lookLift": 0.2, "lookLiftOf": "shareAbove", "sequentialCi": [0.1, 0.3]}
    stored = [
        {"window": {"until": f"2026-03-0{day}T00:00:00Z"}, "comparisons": [item]}
        for day, item in enumerate((figure, share, share), start=1)
    ]
    chart = lift_over_time(stored, "treatment", "m", is_of_rates=False)

    assert chart["unit"] == "points"
    assert [row[1:] for row in chart["table"]["rows"]] == [["+20.00 points", "+10.00 points", "+30.00 points"]] * 2
