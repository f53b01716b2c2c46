"""Search everywhere: what one may see, best match first, and nobody else's."""

import pytest
from django.urls import reverse

from experiments import services as experiment_services
from flags import services
from tenancy import services as tenancy_services
from tenancy.testing import ALICE


def search(client, words):
    answer = client.get(reverse("console_search"), {"q": words})
    assert answer.status_code == 200
    return answer.json()["results"]


def titles(client, words, kind):
    return [hit["title"] for hit in search(client, words) if hit["kind"] == kind]


@pytest.fixture
def content(acme):
    for key in ("checkout", "new-checkout", "checkout-two", "search"):
        services.create_flag(actor=ALICE, environment=acme.production, payload={"key": key, "tags": ["shop"]})
    services.create_segment(actor=ALICE, environment=acme.production, payload={"key": "checkout-team"})
    services.create_layer(actor=ALICE, environment=acme.production, payload={"key": "checkout-layer"})
    metric = {"key": "checkouts", "type": "binary", "eventName": "checkout"}
    experiment_services.create_metric(actor=ALICE, environment=acme.production, payload=metric)
    experiment_services.create_experiment(
        actor=ALICE,
        environment=acme.production,
        payload={"name": "Checkout sells", "flagKey": "checkout", "primaryMetric": "checkouts"},
    )
    tenancy_services.issue_credential(
        actor=ALICE,
        kind="server",
        name="checkout service",
        organization=acme.organization,
        environment=acme.production,
    )


def test_search__works(console_owner, content):
    assert titles(console_owner, "checkout", "Flags") == ["checkout", "checkout-two", "new-checkout"]
    assert titles(console_owner, "checkout", "Segments") == ["checkout-team"]
    assert titles(console_owner, "checkout", "Layers") == ["checkout-layer"]
    assert titles(console_owner, "checkout", "Metrics") == ["checkouts"]
    assert titles(console_owner, "checkout", "Experiments") == ["Checkout sells"]
    assert titles(console_owner, "checkout", "Keys") == ["checkout service"]
    assert titles(console_owner, "olga", "People") == ["olga"]
    assert titles(console_owner, "staging", "Environments") == ["Staging"]
    assert titles(console_owner, "audit", "Pages") == ["Audit log"]
    assert set(titles(console_owner, "shop", "Flags")) == {"checkout", "new-checkout", "checkout-two", "search"}
    for hit in search(console_owner, "checkout"):
        assert console_owner.get(hit["url"]).status_code == 200


def test_search__environment_in_view__is_where_a_flag_leads(console_owner, content, acme):
    console_owner.get(reverse("admin:index"), {"environment": acme.staging.pk})

    (hit,) = [hit for hit in search(console_owner, "new-checkout") if hit["kind"] == "Flags"]

    assert hit["detail"].endswith("Staging")


def test_search__viewer__finds_no_keys_and_nothing_to_begin(console_viewer, content):
    found = search(console_viewer, "checkout")

    assert {hit["kind"] for hit in found} == {"Flags", "Segments", "Layers", "Metrics", "Experiments"}
    assert titles(console_viewer, "new flag", "Pages") == []


def test_search__outsider__finds_nothing(console_outsider, content):
    assert search(console_outsider, "checkout") == []
    assert titles(console_outsider, "olga", "People") == []


def test_search__nobody__is_sent_to_sign_in(client, content):
    assert client.get(reverse("console_search"), {"q": "checkout"}).status_code == 302


def test_search__wildcards__are_letters(console_owner, content):
    assert titles(console_owner, "%", "Flags") == []
    assert titles(console_owner, "_", "Flags") == []


def test_search__many_matches__asks_no_more_often(console_owner, content, acme, django_assert_max_num_queries):
    for index in range(20):
        services.create_flag(actor=ALICE, environment=acme.production, payload={"key": f"checkout-{index}"})
    search(console_owner, "checkout")

    with django_assert_max_num_queries(22):
        assert len(titles(console_owner, "checkout", "Flags")) == 6
