"""The console's pages while the store of events is away: they work, and say what they cannot count."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import ConnectionError  # noqa: A004 - the client's own

from analytics.stores import store
from flags import services
from flags.admin.flag import suggestions
from flags.models import Flag, FlagConfig
from tenancy.testing import ALICE


@pytest.fixture
def config(acme):
    rule = {
        "priority": 10,
        "variant": "treatment",
        "conditions": [{"attribute": "country", "operator": "in", "value": ["DE"]}],
    }
    payload = {"key": "new-checkout", "enabled": True, "rules": [rule]}
    return services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]


@pytest.fixture
def away(settings, acme) -> Iterator[None]:
    """A ClickHouse that nobody answers for: port 9 discards."""
    settings.ANALYTICS_URL = "clickhouse://default@127.0.0.1:9/flagship"
    store.cache_clear()


@pytest.mark.usefixtures("away")
def test_suggestions__store_away__are_those_that_rules_ask_for(console_editor, config, acme):
    url = f"{reverse('admin:flags_flagconfig_attributes')}?environment={acme.staging.pk}"

    assert console_editor.get(url).json()["country"]["values"] == ["DE"]


def test_suggestions__redis_away__are_worked_out_anew(console_editor, config, acme, monkeypatch):
    class Away:
        def get(self, *_arguments):
            raise ConnectionError("away")

        set = get

    monkeypatch.setattr(suggestions, "cache", Away())
    url = f"{reverse('admin:flags_flagconfig_attributes')}?environment={acme.staging.pk}"

    assert console_editor.get(url).json()["country"]["values"] == ["DE"]


@pytest.mark.usefixtures("away")
def test_counts__store_away__say_so(console_editor, config, acme):
    assert console_editor.get(reverse("admin:flags_flagconfig_change", args=[config.pk])).status_code == 200
    exposures = console_editor.get(reverse("admin:flags_flagconfig_exposures", args=[config.pk]))
    conditions = {"attribute": "plan", "operator": "in", "value": ["pro"]}
    segment = console_editor.post(
        f"{reverse('admin:flags_segment_preview')}?environment={acme.staging.pk}",
        {"document": json.dumps({"key": "beta", "name": "Beta", "conditions": conditions})},
    )

    assert "cannot be reached at present" in exposures.text
    assert "cannot be reached at present" in segment.text


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize("page", ["admin:flags_flagconfig_changelist", "admin:index"])
def test_list_and_home__store_away__mark_no_flag_as_stale(console_editor, config, acme, page):
    for model in (Flag, FlagConfig):
        model.objects.update(updated_at=timezone.now() - timedelta(days=400))

    answer = console_editor.get(reverse(page), {"environment": acme.staging.pk})

    assert answer.status_code == 200
    assert "is no longer evaluated" not in answer.text
    assert config.flag.key in console_editor.get(reverse("admin:flags_flagconfig_changelist"), follow=True).text
