"""Pages of flags and experiments with much on them: clean in both schemes, for a viewer too, and fit for a phone."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse

from experiments import services as experiment_services
from flags import services
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
TREE = {
    "all": [
        {"attribute": "plan", "operator": "in", "value": ["pro", "team"]},
        {
            "any": [
                {"attribute": "age", "operator": "less_than", "value": 18},
                {"attribute": "vip", "operator": "exists"},
            ]
        },
    ]
}


@pytest.fixture
def addresses(acme):
    environment = acme.production
    rollout = [{"variant": "treatment", "percent": 50}]
    segment, _ = services.create_segment(
        actor=ALICE, environment=environment, payload={"key": "beta", "conditions": TREE}
    )
    rule = {
        "priority": 10,
        "variant": "treatment",
        "conditions": [{"operator": "in_segment", "value": ["beta"]}],
    }
    payload = {"key": "new-checkout", "enabled": True, "rollout": rollout, "rules": [rule]}
    config, _ = services.create_flag(actor=ALICE, environment=environment, payload=payload)
    metric = {"key": "purchase-rate", "type": "binary", "eventName": "purchase"}
    experiment_services.create_metric(actor=ALICE, environment=environment, payload=metric)
    content = {"name": "Checkout", "flagKey": "new-checkout", "primaryMetric": "purchase-rate"}
    experiment = experiment_services.create_experiment(actor=ALICE, environment=environment, payload=content)
    experiment_services.start_experiment(actor=ALICE, environment=environment, pk=experiment.pk)
    of_flag = {
        name: reverse(f"admin:flags_flagconfig_{name}", args=[config.pk]) for name in ("change", "compare", "try")
    }
    results = reverse("admin:experiments_experiment_results", args=[experiment.pk])
    return {
        **of_flag,
        "users": f"{of_flag['try']}?users=ann%0Abob&attributes={json.dumps({'plan': 'pro'})}",
        "segment": reverse("admin:flags_segment_change", args=[segment.pk]),
        "results": f"{results}?segment=country",
        "live": reverse("admin:experiments_experiment_edit", args=[experiment.pk]),
    }


def serious(page, name):
    found = Axe().run(page)
    return [
        f"{name}: {item['id']}: {node['html'][:160]}"
        for item in found.response["violations"]
        if item["impact"] in {"serious", "critical"}
        for node in item["nodes"][:3]
    ]


@pytest.mark.parametrize(("persona", "scheme"), [("owner", "light"), ("owner", "dark"), ("viewer", "light")])
def test_decision_pages__each__are_clean_and_fit_a_phone(open_session, request, addresses, persona, scheme):
    client = request.getfixturevalue(f"console_{persona}")
    session = open_session(client, color_scheme=scheme)
    wrong = []
    for name, address in addresses.items():
        if (persona, name) == ("viewer", "live"):
            continue
        session.page.set_viewport_size({"width": 1440, "height": 900})
        page = session.visit(address)
        page.wait_for_load_state("networkidle")
        wrong += serious(page, name)
        page.set_viewport_size({"width": 390, "height": 844})
        width = page.evaluate("document.documentElement.scrollWidth")
        wrong += [f"{name}: {width} wide"] if width > 390 else []
    assert wrong == []
