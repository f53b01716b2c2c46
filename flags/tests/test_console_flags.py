"""The console's flag pages: who sees what, how a change is saved, and what happens when two people edit at once."""

import json

import pytest
from django.urls import reverse

from audit.models import Entry
from flags import services
from flags.admin.flag.form import SHAPE, WITHOUT_FIELD
from flags.fields import EDITABLE_FIELDS
from flags.models import Change, FlagConfig, Rule
from flags.tests.console_documents import change_url, fields, sent_by, shares
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
MATCHES = {"attribute": "country", "operator": "matches", "value": "("}
LESS = {"attribute": "age", "operator": "less_than", "value": "ten"}


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

    # The rows' stages take ten of them, and the choices of the filters by owner and team two.
    with django_assert_max_num_queries(31):
        console_editor.get(url, {"environment": acme.staging.pk})


def test_page__untouched__saves_nothing(console_editor, config):
    console_editor.post(change_url(config), fields(console_editor, config))

    config.refresh_from_db()
    assert config.version == 1
    assert not Entry.objects.filter(action="flag.updated").exists()


def test_page__share_changed__changes_that_and_nothing_else(console_editor, config):
    answer = console_editor.post(
        change_url(config), fields(console_editor, config, rollout=shares(treatment=33.33), reason="Ramp up")
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
    sent = fields(console_editor, config)
    document = json.loads(sent["document"])
    condition = {"attribute": "age", "operator": "greater_or_equal", "value": 18}
    added = {"name": "Adults", "priority": 20, "rollout": shares(treatment=12.5), "conditions": [condition]}
    document["rules"].append(added)
    answer = console_editor.post(change_url(config), sent | {"document": json.dumps(document)})

    assert answer.status_code == 302
    first, second = config.rules.order_by("priority")
    assert first.name == "Pro in the US"
    assert second.conditions == [{"attribute": "age", "operator": "greater_or_equal", "value": 18}]
    assert second.allocation == [[0, 1250, "treatment"]]


@pytest.mark.parametrize(
    ("changes", "path", "said"),
    [
        ({"rollout": shares(treatment=101)}, "rollout[0].percent", "from 0 to 100"),
        ({"rollout": shares(treatment="much")}, "rollout[0].percent", "A valid number is required."),
        ({"variants": [{"key": "control", "value": "maybe"}]}, "variants[0].value", "boolean"),
        ({"rules": [{**RULE, "conditions": [MATCHES]}]}, "rules[0].conditions[0].value", "RE2"),
        ({"rules": [{**RULE, "conditions": [LESS]}]}, "rules[0].conditions[0].value", "number"),
        ({"rules": [{**RULE, "priority": None}]}, "rules[0].priority", "null"),
        ({"rules": "all of them"}, "rules", "list"),
        ({"colour": "green"}, "colour", "There is no field"),
    ],
)
def test_page__wrong_input__is_said_with_its_path_and_saves_nothing(console_editor, config, changes, path, said):
    answer = console_editor.post(change_url(config), fields(console_editor, config, **changes))

    assert answer.status_code == 422
    assert f'<li data-path="{path}">' in answer.text
    assert said in answer.text
    config.refresh_from_db()
    assert config.version == 1


def test_page__without_its_script__says_what_editing_needs(console_editor, config):
    sent = fields(console_editor, config)
    del sent["document"]

    answer = console_editor.post(change_url(config), sent)

    assert answer.status_code == 422
    assert "Editing needs JavaScript" in answer.text
    assert "data-needs-script" in console_editor.get(change_url(config)).text


def test_page__largest_flag__is_saved_whole(console_editor, acme):
    values = [{"key": f"variant-{index}", "value": f"value {index}"} for index in range(30)]
    payload = {
        "key": "large",
        "type": "string",
        "variants": values,
        "defaultVariant": "variant-0",
        "offVariant": "variant-0",
    }
    config = services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]
    conditions = [{"attribute": f"a{index}", "operator": "in", "value": ["x", "y"]} for index in range(10)]
    rollout = shares(**{f"variant-{index}": 3 for index in range(30)})
    rules = [{"priority": number, "conditions": conditions, "rollout": rollout} for number in range(50)]

    answer = console_editor.post(change_url(config), fields(console_editor, config, rules=rules))

    assert answer.status_code == 302
    assert Rule.objects.filter(config=config).count() == 50
    assert console_editor.get(change_url(config)).text.count('data-item="rules[].conditions[]"') >= 500


@pytest.mark.parametrize(
    "document",
    [
        "[]",
        "{",
        "null",
        '{"rules": [1], "variants": {"a": 1}, "rollout": [[]], "tags": 5}',
        '{"rules": [{"conditions": "x"}]}',
    ],
)
def test_page__hostile_document__is_refused_and_shown(console_editor, config, document):
    sent = fields(console_editor, config) | {"document": document}

    for page in ("change", "preview", "affected_users", "try_draft"):
        answer = console_editor.post(reverse(f"admin:flags_flagconfig_{page}", args=[config.pk]), sent)
        assert answer.status_code in {200, 422}

    config.refresh_from_db()
    assert config.version == 1


def test_page__changed_meanwhile__shows_the_other_change_and_keeps_both(console_editor, acme, config):
    mine = fields(console_editor, config, rollout=shares(treatment=50))
    services.update_flag(
        actor=ALICE, environment=acme.staging, key="new-checkout", payload={"bucketBy": "companyId"}, version=1
    )

    answer = console_editor.post(change_url(config), mine)

    assert answer.status_code == 409
    assert "alice changed this flag while you were editing" in answer.text
    config.refresh_from_db()
    assert config.allocation == [[0, 2500, "treatment"]]
    merged = answer.context["edit"]
    again = sent_by(merged, merged.document)
    assert console_editor.post(change_url(config), again).status_code == 302
    config.refresh_from_db()
    assert (config.bucket_by, config.allocation) == ("companyId", [[0, 5000, "treatment"]])


def test_page__large_change_in_production__asks_once_more(console_owner, acme, config):
    production = FlagConfig.objects.get(flag=config.flag, environment=acme.production)
    sent = fields(console_owner, production, enabled=True, rollout=shares(treatment=100))

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
    sent = fields(console_owner, production, enabled=True, rollout=shares(treatment=20))
    asked = console_owner.post(change_url(production), sent)

    other = fields(console_owner, production, enabled=True, rollout=shares(treatment=100))
    answer = console_owner.post(change_url(production), other | {"confirmed": asked.context["confirmed"]})

    assert answer.status_code == 200
    production.refresh_from_db()
    assert not production.is_enabled


def test_preview__share_raised__counts_who_moves(console_editor, config):
    url = reverse("admin:flags_flagconfig_preview", args=[config.pk])

    answer = console_editor.post(url, fields(console_editor, config, rollout=shares(treatment=28.1)))

    assert "3.10 %" in answer.text
    assert "from <code>control</code> to <code>treatment</code>" in answer.text
    config.refresh_from_db()
    assert config.version == 1


def test_preview__segment_there_is_not__is_said_to_be_nobody(console_editor, config):
    asked = {"rules": [{**RULE, "conditions": [{"operator": "in_segment", "value": ["beta"]}]}]}

    answer = console_editor.post(
        reverse("admin:flags_flagconfig_preview", args=[config.pk]), fields(console_editor, config, **asked)
    )

    assert "There is no segment <code>beta</code>: nobody is in it." in answer.text


def test_preview__rule_of_a_flag_that_is_off__changes_nothing_for_anybody(console_editor, acme, config):
    production = FlagConfig.objects.get(flag=config.flag, environment=acme.production)
    services.update_flag(
        actor=ALICE, environment=acme.production, key="new-checkout", payload={"rules": [RULE]}, version=1
    )
    elsewhere = {"attribute": "country", "operator": "equals", "value": "FR"}
    stored = console_editor.get(change_url(production)).context["edit"].document["rules"]
    rules = [{**rule, "conditions": [elsewhere]} for rule in stored]
    sent = fields(console_editor, production, rules=rules)

    answer = console_editor.post(reverse("admin:flags_flagconfig_preview", args=[production.pk]), sent)

    assert "nobody gets anything else" in answer.text
    assert "data-affected-users" not in answer.text


def test_list__search__finds_archived_flags_too(console_editor, acme, config):
    services.archive_flag(actor=ALICE, environment=acme.staging, key="new-checkout", reason="Done")
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}"

    assert [list(console_editor.get(f"{listed}{query}").context["cl"].queryset) for query in ("", "&q=checkout")] == [
        [],
        [config],
    ]


def test_list__on_and_nothing_decides__says_that_only_the_default_is_served(console_editor, acme):
    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "bare", "enabled": True})

    page = console_editor.get(reverse("admin:flags_flagconfig_changelist"), {"environment": acme.staging.pk})

    assert "only its default: everybody control" in page.text


def test_create__works(console_editor, acme):
    url = f"{reverse('admin:flags_flagconfig_add')}?environment={acme.staging.pk}"
    edit = console_editor.get(url).context["edit"]
    sent = sent_by(edit, {**edit.document, "key": "dark-mode", "name": "dark-mode", "rollout": shares(treatment=10)})

    answer = console_editor.post(url, sent)

    assert answer.status_code == 302
    made = FlagConfig.objects.get(flag__key="dark-mode", environment=acme.staging)
    assert made.allocation == [[0, 1000, "treatment"]]
    assert Entry.objects.get(action="flag.created").actor_label == "eddie"


def test_create__nothing_typed_yet__previews_what_the_new_flag_does(console_editor, acme):
    page = console_editor.get(reverse("admin:flags_flagconfig_add"), {"environment": acme.staging.pk})
    edit = page.context["edit"]

    answer = console_editor.post(page.context["preview_url"], sent_by(edit, edit.document))

    assert not answer.context["preview"].problems
    assert answer.context["preview"].sentences


def test_create__key_taken__says_so_beside_the_key(console_editor, acme, config):
    url = f"{reverse('admin:flags_flagconfig_add')}?environment={acme.staging.pk}"
    variants = [{"key": "a", "value": "x"}, {"key": "b", "value": "y"}]
    document = {"key": "new-checkout", "type": "string", "defaultVariant": "a", "offVariant": "a", "variants": variants}
    sent = {"document": json.dumps(document)}

    answer = console_editor.post(url, sent)

    assert answer.status_code == 409
    assert [(one.attr, "already a flag" in one.detail) for one in answer.context["edit"].problems] == [("key", True)]


def test_viewer__sees_the_flag_and_no_button_that_would_fail(console_viewer, config):
    page = console_viewer.get(change_url(config))

    assert page.status_code == 200
    assert "Pro in the US" in page.text
    for act in ("kill", "archive", "Save"):
        assert f"/{act}/" not in page.text
    assert 'type="submit" class="fs-button fs-button--primary"' not in page.text
    before = json.dumps(FlagConfig.objects.filter(pk=config.pk).values().get(), default=str)
    console_viewer.post(change_url(config), fields(console_viewer, config, rollout=shares(treatment=50)))
    assert json.dumps(FlagConfig.objects.filter(pk=config.pk).values().get(), default=str) == before
    for act in ("kill", "release", "archive", "restore"):
        assert console_viewer.post(reverse(f"admin:flags_flagconfig_{act}", args=[config.pk])).status_code == 403
    assert console_viewer.get(reverse("admin:flags_flagconfig_add"), follow=True).status_code == 403


@pytest.mark.parametrize("page", ["change", "history", "kill", "release", "archive", "restore", "preview"])
def test_outsider__finds_nothing(console_outsider, config, page):
    url = reverse(f"admin:flags_flagconfig_{page}", args=[config.pk])

    assert console_outsider.get(url).status_code == 404
    assert console_outsider.post(url).status_code == 404


def test_form__every_field_that_may_change__has_a_place_on_the_page(console_editor, config):
    page = console_editor.get(change_url(config)).text

    for field in EDITABLE_FIELDS:
        if field.name not in WITHOUT_FIELD:
            assert field.name in SHAPE
            assert f'data-field="{field.name}"' in page or f'data-list="{field.name}"' in page
