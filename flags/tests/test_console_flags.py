"""The console's flag pages: who sees what, how a change is saved, and what happens when two people edit at once."""

import json

import pytest
from django.urls import reverse

from audit.models import Entry
from flags import services
from flags.models import Change, FlagConfig
from tenancy.testing import ALICE

RULE = {
    "priority": 10,
    "name": "Pro in the US",
    "variant": "treatment",
    "conditions": [
        {"attribute": "country", "operator": "equals", "value": "US"},
        {"attribute": "plan", "operator": "in", "value": ["pro", "team"]},
    ],
}


@pytest.fixture
def config(acme):
    payload = {
        "key": "new-checkout",
        "enabled": True,
        "rules": [RULE],
        "rollout": [{"variant": "treatment", "percent": 25}],
        "targets": [{"variant": "treatment", "userIds": ["alice"]}],
    }
    return services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]


def change_url(config):
    return reverse("admin:flags_flagconfig_change", args=[config.pk])


def fields(client, config, **changes):
    """What a browser would send back from the flag's page, with some fields typed over."""
    context = client.get(change_url(config)).context
    form = context["form"]
    sent = {
        "version": context["version"], "base": context["base"], "name": form.name, "tags": form.tags,
        "description": form.description, "defaultVariant": form.default_variant, "offVariant": form.off_variant,
        "bucketBy": form.bucket_by,
    }  # fmt: skip
    if form.is_enabled:
        sent["enabled"] = "on"
    for row in form.variants:
        sent |= {f"variants-{row.ref}-{name}": getattr(row, name) for name in ("key", "value", "percent", "users")}
    for rule in form.rules:
        prefix = f"rules-{rule.ref}"
        sent |= {f"{prefix}-id": rule.id, f"{prefix}-priority": rule.priority, f"{prefix}-name": rule.name}
        sent |= {f"{prefix}-serve": rule.serve}
        sent |= {f"{prefix}-percent-{ref}": percent for ref, percent in rule.percents.items()}
        for row in rule.conditions:
            for name in ("attribute", "operator", "value", "kind"):
                sent[f"{prefix}-conditions-{row.ref}-{name}"] = getattr(row, name)
    sent |= changes
    return {name: value for name, value in sent.items() if value is not None}


def test_list__works(console_editor, acme, config):
    page = console_editor.get(reverse("admin:flags_flagconfig_changelist"), {"environment": acme.staging.pk})

    assert page.status_code == 200
    assert "new-checkout" in page.text
    assert "25 % treatment" in page.text
    assert "Rival" not in page.text


def test_list__other_environment__shows_the_flag_as_it_is_there(console_editor, acme, config):
    page = console_editor.get(reverse("admin:flags_flagconfig_changelist"), {"environment": acme.production.pk})

    assert [row.environment_id for row in page.context["cl"].result_list] == [acme.production.pk]
    assert "everybody control" in page.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "CHECKOUT"}, 1),
        ({"q": "nothing"}, 0),
        ({"state": "on"}, 1),
        ({"state": "killed"}, 0),
        ({"state": "archived"}, 0),
        ({"type": "boolean"}, 1),
        ({"type": "json"}, 0),
    ],
)
def test_list__filtered__finds_what_fits(console_editor, acme, config, query, found):
    page = console_editor.get(reverse("admin:flags_flagconfig_changelist"), {"environment": acme.staging.pk, **query})

    assert page.context["cl"].result_count == found


def test_list__many_flags__asks_the_database_no_more_often(console_editor, acme, config, django_assert_max_num_queries):
    for index in range(30):
        services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": f"flag-{index}", "rules": [RULE]})
    url = reverse("admin:flags_flagconfig_changelist")
    console_editor.get(url, {"environment": acme.staging.pk})

    with django_assert_max_num_queries(15):
        console_editor.get(url, {"environment": acme.staging.pk})


def test_page__untouched__saves_nothing(console_editor, config):
    console_editor.post(change_url(config), fields(console_editor, config))

    config.refresh_from_db()
    assert config.version == 1
    assert not Entry.objects.filter(action="flag.updated").exists()


def test_page__share_changed__changes_that_and_nothing_else(console_editor, config):
    answer = console_editor.post(
        change_url(config), fields(console_editor, config, **{"variants-1-percent": "33.33"}, reason="Ramp up")
    )

    assert answer.status_code == 302
    config.refresh_from_db()
    assert config.allocation == [[0, 3333, "treatment"]]
    assert config.rules.get().conditions == RULE["conditions"]
    entry = Entry.objects.get(action="flag.updated")
    assert (entry.actor_label, entry.reason) == ("eddie", "Ramp up")
    assert {change["path"] for change in entry.changes} == {"rollout", "version", "updatedAt"}
    assert Change.objects.filter(environment=config.environment, key="new-checkout").count() == 2


def test_page__rule_added__is_stored_after_the_others(console_editor, config):
    added = {
        "rules-1000-name": "Adults", "rules-1000-serve": "rollout", "rules-1000-percent-1": "12.5",
        "rules-1000-conditions-1001-attribute": "age", "rules-1000-conditions-1001-operator": "greater_or_equal",
        "rules-1000-conditions-1001-value": "18", "rules-1000-conditions-1001-kind": "text",
    }  # fmt: skip
    answer = console_editor.post(change_url(config), fields(console_editor, config, **added))

    assert answer.status_code == 302
    first, second = config.rules.order_by("priority")
    assert first.name == "Pro in the US"
    assert second.conditions == [{"attribute": "age", "operator": "greater_or_equal", "value": 18}]
    assert second.allocation == [[0, 1250, "treatment"]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variants-1-percent": "101"}, "from 0 to 100"),
        ({"variants-1-percent": "much"}, "is no number"),
        ({"variants-1-value": "maybe"}, "Write true or false."),
        ({"rules-0-conditions-0-operator": "matches", "rules-0-conditions-0-value": "("}, "RE2"),
        ({"rules-0-conditions-0-operator": "less_than", "rules-0-conditions-0-value": "ten"}, "is no number"),
    ],
)
def test_page__wrong_input__says_so_beside_the_field_and_saves_nothing(console_editor, config, changes, said):
    answer = console_editor.post(change_url(config), fields(console_editor, config, **changes))

    assert answer.status_code == 422
    assert said in answer.text
    config.refresh_from_db()
    assert config.version == 1


def test_page__changed_meanwhile__shows_the_other_change_and_keeps_both(console_editor, acme, config):
    mine = fields(console_editor, config, **{"variants-1-percent": "50"})
    services.update_flag(
        actor=ALICE, environment=acme.staging, key="new-checkout", payload={"bucketBy": "companyId"}, version=1
    )

    answer = console_editor.post(change_url(config), mine)

    assert answer.status_code == 409
    assert "alice changed this flag while you were editing" in answer.text
    config.refresh_from_db()
    assert config.allocation == [[0, 2500, "treatment"]]
    again = mine | {"version": answer.context["version"], "base": answer.context["base"]}
    again |= {"bucketBy": answer.context["form"].bucket_by}
    assert console_editor.post(change_url(config), again).status_code == 302
    config.refresh_from_db()
    assert (config.bucket_by, config.allocation) == ("companyId", [[0, 5000, "treatment"]])


def test_page__large_change_in_production__asks_once_more(console_owner, acme, config):
    production = FlagConfig.objects.get(flag=config.flag, environment=acme.production)
    sent = fields(console_owner, production, enabled="on", **{"variants-1-percent": "100"})

    asked = console_owner.post(change_url(production), sent)

    assert asked.status_code == 200
    assert "100.00 % from control to treatment" in asked.text
    production.refresh_from_db()
    assert not production.is_enabled
    assert (
        console_owner.post(change_url(production), sent | {"confirmed": asked.context["confirmed"]}).status_code == 302
    )
    production.refresh_from_db()
    assert production.is_enabled


def test_page__confirmation_of_another_change__is_asked_for_again(console_owner, acme, config):
    production = FlagConfig.objects.get(flag=config.flag, environment=acme.production)
    sent = fields(console_owner, production, enabled="on", **{"variants-1-percent": "20"})
    asked = console_owner.post(change_url(production), sent)

    answer = console_owner.post(
        change_url(production), sent | {"confirmed": asked.context["confirmed"], "variants-1-percent": "100"}
    )

    assert answer.status_code == 200
    production.refresh_from_db()
    assert not production.is_enabled


def test_preview__share_raised__counts_who_moves(console_editor, config):
    url = reverse("admin:flags_flagconfig_preview", args=[config.pk])

    answer = console_editor.post(url, fields(console_editor, config, **{"variants-1-percent": "28.1"}))

    assert "3.10 %" in answer.text
    assert "from <code>control</code> to <code>treatment</code>" in answer.text
    config.refresh_from_db()
    assert config.version == 1


def test_preview__segment_there_is_not__is_said_to_be_nobody(console_editor, config):
    asked = {"rules-0-conditions-0-operator": "in_segment", "rules-0-conditions-0-value": "beta"}

    answer = console_editor.post(
        reverse("admin:flags_flagconfig_preview", args=[config.pk]), fields(console_editor, config, **asked)
    )

    assert "There is no segment <code>beta</code>: nobody is in it." in answer.text


def test_preview__rule_of_a_flag_that_is_off__changes_nothing_for_anybody(console_editor, acme, config):
    production = FlagConfig.objects.get(flag=config.flag, environment=acme.production)
    services.update_flag(
        actor=ALICE, environment=acme.production, key="new-checkout", payload={"rules": [RULE]}, version=1
    )
    sent = fields(console_editor, production, **{"rules-0-conditions-0-value": "FR"})

    answer = console_editor.post(reverse("admin:flags_flagconfig_preview", args=[production.pk]), sent)

    assert "nobody gets anything else" in answer.text
    assert "data-people" not in answer.text


def test_create__works(console_editor, acme):
    url = f"{reverse('admin:flags_flagconfig_add')}?environment={acme.staging.pk}"
    sent = {
        "key": "dark-mode",
        "type": "boolean",
        "name": "",
        "defaultVariant": "0",
        "offVariant": "0",
        "bucketBy": "userId",
        "variants-0-key": "control",
        "variants-0-value": "false",
        "variants-1-key": "treatment",
        "variants-1-value": "true",
        "variants-1-percent": "10",
    }

    answer = console_editor.post(url, sent)

    assert answer.status_code == 302
    made = FlagConfig.objects.get(flag__key="dark-mode", environment=acme.staging)
    assert made.allocation == [[0, 1000, "treatment"]]
    assert Entry.objects.get(action="flag.created").actor_label == "eddie"


def test_create__nothing_typed_yet__previews_what_the_new_flag_does(console_editor, acme):
    page = console_editor.get(reverse("admin:flags_flagconfig_add"), {"environment": acme.staging.pk})
    form = page.context["form"]
    sent = {"type": form.type, "defaultVariant": form.default_variant, "offVariant": form.off_variant}
    for row in form.variants:
        sent |= {f"variants-{row.ref}-key": row.key, f"variants-{row.ref}-value": row.value}

    answer = console_editor.post(reverse("admin:flags_flagconfig_preview_new"), {**sent, "bucketBy": "userId"})

    assert answer.context["preview"].problems == []
    assert answer.context["preview"].sentences


def test_create__key_taken__says_so_beside_the_key(console_editor, acme, config):
    url = f"{reverse('admin:flags_flagconfig_add')}?environment={acme.staging.pk}"
    sent = {
        "key": "new-checkout", "type": "string", "defaultVariant": "0", "offVariant": "0", "variants-0-key": "a",
        "variants-0-value": "x", "variants-1-key": "b", "variants-1-value": "y",
    }  # fmt: skip

    answer = console_editor.post(url, sent)

    assert answer.status_code == 422
    assert "already a flag" in answer.context["form"].errors["key"][0]


def test_viewer__sees_the_flag_and_no_button_that_would_fail(console_viewer, config):
    page = console_viewer.get(change_url(config))

    assert page.status_code == 200
    assert "Pro in the US" in page.text
    for act in ("kill", "archive", "Save"):
        assert f"/{act}/" not in page.text
    assert 'type="submit" class="fs-button fs-button--primary"' not in page.text
    before = json.dumps(FlagConfig.objects.filter(pk=config.pk).values().get(), default=str)
    console_viewer.post(change_url(config), fields(console_viewer, config, **{"variants-1-percent": "50"}))
    assert json.dumps(FlagConfig.objects.filter(pk=config.pk).values().get(), default=str) == before
    for act in ("kill", "release", "archive", "restore"):
        assert console_viewer.post(reverse(f"admin:flags_flagconfig_{act}", args=[config.pk])).status_code == 403
    assert console_viewer.get(reverse("admin:flags_flagconfig_add")).status_code == 403


@pytest.mark.parametrize("page", ["change", "history", "kill", "release", "archive", "restore", "preview"])
def test_outsider__finds_nothing(console_outsider, config, page):
    url = reverse(f"admin:flags_flagconfig_{page}", args=[config.pk])

    assert console_outsider.get(url).status_code == 404
    assert console_outsider.post(url).status_code == 404
