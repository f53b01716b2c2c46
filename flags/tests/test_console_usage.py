"""Who evaluates a flag: in the list, on its page, and before it is archived."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from analytics.usage import folding
from analytics.usage.batches import SDK, Counted, Source, UsageBatch
from flags import services
from flags.staleness import last_use_anywhere
from tenancy.testing import ALICE


@pytest.fixture
def config(acme):
    made = services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout"})[0]
    source = Source(acme.staging.pk, SDK, "checkout-service", "python/0.1.0")
    used = {Counted(source, "new-checkout", "control", "DEFAULT"): 41, Counted(source, "new-checkout", "", "ERROR"): 1}
    folding.fold(UsageBatch("first", timezone.now(), used))
    return made


def address(config, act):
    return reverse(f"admin:flags_flagconfig_{act}", args=[config.pk])


def test_usage__of_a_job_without_users__is_said_in_list_and_page(config, console_editor):
    page = console_editor.get(address(config, "usage")).text
    listed = console_editor.get(
        f"{reverse('admin:flags_flagconfig_changelist')}?environment={config.environment_id}"
    ).text

    assert "Last evaluated by checkout-service (python/0.1.0)" in page
    assert "control 41, no variant 1" in page
    assert "by checkout-service" in listed


def test_last_use__of_all_environments__is_one_question(acme, config, django_assert_num_queries):
    earlier = Source(acme.production.pk, SDK, "till", "python/0.1.0")
    used = {Counted(earlier, "new-checkout", "control", "DEFAULT"): 1}
    folding.fold(UsageBatch("second", timezone.now() - timedelta(hours=2), used))

    with django_assert_num_queries(2):
        where, use = last_use_anywhere(config.flag)

    assert (where, use.source.service) == (config, "checkout-service")


def test_archive__flag_that_is_evaluated__asks_twice(config, console_editor):
    url = address(config, "archive")
    sent = {"reason": "old", "environment": config.environment_id}

    assert "Type <code>new-checkout</code> to confirm" in console_editor.get(url).text
    for confirm in ("", "other"):
        assert console_editor.post(url, {**sent, "confirm": confirm}).status_code == 422
    config.flag.refresh_from_db()
    assert not config.flag.is_archived

    assert console_editor.post(url, {**sent, "confirm": "new-checkout"}).status_code == 302
    config.flag.refresh_from_db()
    assert config.flag.is_archived


def test_unknown_flags__are_listed_by_who_asked__until_a_flag_has_the_key(config, acme, console_viewer):
    source = Source(acme.staging.pk, SDK, "till", "python/0.1.0")
    asked = {(source, "new-chekout"): 7, (source, "made-since"): 1}
    folding.fold(UsageBatch("second", timezone.now(), {}, asked))
    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "made-since"})
    url = f"{reverse('admin:flags_flagconfig_unknown')}?environment="

    listed = console_viewer.get(f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}").text
    page = console_viewer.get(f"{url}{acme.staging.pk}").text

    assert f"{url}{acme.staging.pk}" in listed
    assert "<code>new-chekout</code>" in page
    assert "till (python/0.1.0)" in page
    assert "made-since" not in page
    assert "None: every key" in console_viewer.get(f"{url}{acme.production.pk}").text
