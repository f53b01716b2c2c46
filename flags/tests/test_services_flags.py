"""The write services of flags: each leaves its state, its audit row, a step in the version log, and its message."""

import pytest
from django.db import transaction

from audit.models import Entry
from flags import selectors, services
from flags.documents import flag_document
from flags.models import Change, Flag, FlagConfig
from tenancy.errors import Conflict, Invalid
from tenancy.testing import ALICE


@pytest.fixture
def committing(django_capture_on_commit_callbacks):
    """Run what a commit would run, at the end of the block."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


def _last_entry():
    return Entry.objects.order_by("-id").first()


def _update(environment, flag_key, version, **payload):
    return services.update_flag(actor=ALICE, environment=environment, key=flag_key, payload=payload, version=version)


def test_create_flag__works(environment, staging, published, committing):
    with committing():
        config, is_new = services.create_flag(
            actor=ALICE, environment=environment, payload={"key": "new-checkout", "enabled": True, "tags": ["checkout"]}
        )

    assert is_new
    flag = config.flag
    assert (flag.name, flag.type, flag.tags) == ("new-checkout", "boolean", ["checkout"])
    assert flag.variants == [{"key": "control", "value": False}, {"key": "treatment", "value": True}]
    assert (config.is_enabled, config.default_variant, config.off_variant, config.version) == (
        True,
        "control",
        "control",
        1,
    )
    elsewhere = FlagConfig.objects.get(environment=staging)
    assert (elsewhere.is_enabled, elsewhere.default_variant) == (False, "control")
    entry = _last_entry()
    assert (entry.action, entry.entity_key, entry.actor_label) == ("flag.created", "new-checkout", "alice")
    assert entry.before is None
    assert entry.after["enabled"] is True
    step = Change.objects.get(environment=environment)
    assert (step.version, step.kind, step.document) == (1, "flag_updated", flag_document(config))
    assert {message["environment"] for message in published()} == {environment.pk, staging.pk}


def test_create_flag__same_again__gives_what_is_there(environment, make_flag, published, committing):
    payload = {"key": "new-checkout", "enabled": True, "rollout": [{"variant": "treatment", "percent": 25}]}
    with committing():
        first, _ = services.create_flag(actor=ALICE, environment=environment, payload=payload)
    published()
    with committing():
        again, is_new = services.create_flag(actor=ALICE, environment=environment, payload=payload)

    assert not is_new
    assert again.pk == first.pk
    assert Entry.objects.filter(action="flag.created").count() == 1
    assert published() == []


def test_create_flag__same_again_with_a_rule__gives_what_is_there(environment):
    payload = {"key": "a", "rules": [{"priority": 1, "variant": "treatment", "conditions": []}]}
    services.create_flag(actor=ALICE, environment=environment, payload=payload)

    assert services.create_flag(actor=ALICE, environment=environment, payload=payload)[1] is False


def test_create_flag__same_key_other_content__is_key_exists_with_what_is_there(environment, make_flag):
    make_flag("a")
    with pytest.raises(Conflict) as refused:
        make_flag("a", description="another")

    assert refused.value.problems[0].code == "key_exists"
    assert refused.value.extra["current"]["key"] == "a"


@pytest.mark.parametrize(
    ("payload", "attr", "code"),
    [
        ({"key": ""}, "key", "invalid_key"),
        ({"key": "no spaces"}, "key", "invalid_key"),
        ({"key": "-first"}, "key", "invalid_key"),
        ({"key": "a" * 101}, "key", "invalid_key"),
        ({"key": "evaluate"}, "key", "reserved_key"),
        ({"key": "a", "type": "string"}, "variants", "required"),
        ({"key": "a", "type": "string", "variants": [{"key": "x", "value": "1"}]}, "variants", "wrong_count"),
        (
            {"key": "a", "type": "number", "variants": [{"key": "x", "value": 1}, {"key": "y", "value": "2"}]},
            "variants[1].value",
            "wrong_type",
        ),
        (
            {"key": "a", "type": "json", "variants": [{"key": "x", "value": "j" * 70_000}, {"key": "y", "value": 1}]},
            "variants[0].value",
            "too_large",
        ),
        ({"key": "a", "defaultVariant": "blue"}, "defaultVariant", "unknown_variant"),
        ({"key": "a", "offVariant": "blue"}, "offVariant", "unknown_variant"),
        ({"key": "a", "bucketBy": ""}, "bucketBy", "wrong_type"),
        ({"key": "a", "rollout": [{"variant": "blue", "percent": 1}]}, "rollout[0].variant", "unknown_variant"),
        ({"key": "a", "rollout": [{"variant": "control", "percent": 1.234}]}, "rollout[0].percent", "invalid_percent"),
        ({"key": "a", "rollout": [{"variant": "control", "percent": -1}]}, "rollout[0].percent", "invalid_percent"),
        (
            {"key": "a", "rollout": [{"variant": "control", "percent": 60}, {"variant": "treatment", "percent": 50}]},
            "rollout",
            "weights_exceed_100",
        ),
        (
            {"key": "a", "rollout": [{"variant": "control", "percent": 6}, {"variant": "control", "percent": 5}]},
            "rollout[1].variant",
            "duplicate",
        ),
        ({"key": "a", "rules": [{"priority": 1}]}, "rules[0]", "variant_or_rollout"),
        (
            {"key": "a", "rules": [{"priority": 1, "variant": "control"}, {"priority": 1, "variant": "control"}]},
            "rules[1].priority",
            "duplicate",
        ),
        (
            {
                "key": "a",
                "targets": [{"variant": "control", "userIds": ["u"]}, {"variant": "treatment", "userIds": ["u"]}],
            },
            "targets[1].userIds[0]",
            "duplicate",
        ),
        (
            {"key": "a", "prerequisites": [{"flagKey": "b", "variants": ["x"]}]},
            "prerequisites[0].flagKey",
            "unknown_flag",
        ),
        ({"key": "a", "metadata": {"a": [1]}}, "metadata.a", "wrong_type"),
        ({"key": "a", "nonsense": 1}, "nonsense", "unknown_field"),
    ],
)
def test_create_flag__what_may_not_be__is_refused_by_name(environment, payload, attr, code):
    with pytest.raises(Invalid) as refused:
        services.create_flag(actor=ALICE, environment=environment, payload=payload)

    assert (refused.value.problems[0].attr, refused.value.problems[0].code) == (attr, code)
    assert not Flag.objects.exists()


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({"attribute": "a", "operator": "like", "value": "x"}, "operator"),
        ({"attribute": "a", "operator": "matches", "value": "("}, "value"),
        ({"attribute": "a", "operator": "semver_equal", "value": "one"}, "value"),
        ({"attribute": "a", "operator": "before", "value": "yesterday"}, "value"),
        ({"attribute": "a", "operator": "equals", "value": [1]}, "value"),
        ({"operator": "equals", "value": 1}, "attribute"),
    ],
)
def test_create_flag__malformed_condition__is_refused_by_name(environment, condition, field):
    rule = {"priority": 7, "variant": "treatment", "conditions": [condition]}
    first = {"priority": 9, "variant": "treatment", "conditions": []}
    with pytest.raises(Invalid) as refused:
        services.create_flag(actor=ALICE, environment=environment, payload={"key": "a", "rules": [first, rule]})

    assert refused.value.problems[0].attr == f"rules[1].conditions[0].{field}"


@pytest.mark.parametrize(("percents", "code"), [((95, 20), "weights_exceed_100"), ((-1, 20), "invalid_percent")])
def test_update_flag__shares_of_a_rule_that_had_some__are_refused_by_name(environment, make_flag, percents, code):
    def rollout(*percents):
        return [
            {"variant": name, "percent": percent}
            for name, percent in zip(("control", "treatment"), percents, strict=True)
        ]

    config = make_flag("a", rules=[{"priority": 7, "conditions": [], "rollout": rollout(10, 20)}])
    rule = {"id": str(config.rules.get().pk), "priority": 7, "conditions": [], "rollout": rollout(*percents)}

    with pytest.raises(Invalid) as refused:
        services.update_flag(actor=ALICE, environment=environment, key="a", payload={"rules": [rule]}, version=1)

    assert refused.value.problems[0].code == code
    assert (refused.value.problems[0].attr or "").startswith("rules[0].rollout")


def test_update_flag__works(environment, make_flag, published, committing):
    with committing():
        make_flag("a", description="kept", rollout=[{"variant": "treatment", "percent": 25}])
    published()
    with committing():
        config = _update(environment, "a", 1, rollout=[{"variant": "treatment", "percent": 50}])

    assert config.allocation == [[0, 5000, "treatment"]]
    assert (config.version, config.flag.description) == (2, "kept")
    entry = _last_entry()
    assert entry.action == "flag.updated"
    assert "rollout" in {change["path"] for change in entry.changes}
    step = Change.objects.filter(environment=environment).order_by("-version").first()
    assert (step.version, step.document["allocation"]) == (2, [[0, 5000, "treatment"]])
    assert [(message["version"], message["key"]) for message in published()] == [(2, "a")]


def test_update_flag__nothing_named__empties_nothing(environment, make_flag):
    before = flag_document(
        make_flag(
            "a",
            targets=[{"variant": "treatment", "userIds": ["alice"]}],
            rules=[{"priority": 1, "variant": "treatment", "conditions": []}],
            rollout=[{"variant": "treatment", "percent": 25}],
        )
    )
    after = flag_document(_update(environment, "a", 1))

    assert {**after, "version": 1} == before


def test_update_flag__put__returns_the_rest_to_its_default(environment, make_flag):
    make_flag("a", description="gone", rules=[{"priority": 1, "variant": "treatment", "conditions": []}])
    config = services.update_flag(
        actor=ALICE, environment=environment, key="a", payload={"name": "A"}, version=1, is_partial=False
    )

    assert (config.flag.name, config.flag.description, config.is_enabled) == ("A", "", False)
    assert not config.rules.exists()


def test_update_flag__stale_version__is_version_conflict_with_what_is_there(environment, make_flag):
    make_flag("a")
    _update(environment, "a", 1, enabled=False)
    with pytest.raises(Conflict) as refused:
        _update(environment, "a", 1, enabled=True)

    assert refused.value.problems[0].code == "version_conflict"
    assert refused.value.extra["current"]["version"] == 2


@pytest.mark.parametrize("field", [{"key": "b"}, {"type": "string"}])
def test_update_flag__what_never_changes__is_refused(environment, make_flag, field):
    make_flag("a")
    with pytest.raises(Invalid) as refused:
        _update(environment, "a", 1, **field)

    assert refused.value.problems[0].code == "immutable"


def test_update_flag__shared_field__changes_every_environment(environment, staging, make_flag):
    make_flag("a")
    _update(environment, "a", 1, variants=[{"key": "control", "value": False}, {"key": "variant-b", "value": True}])

    step = Change.objects.filter(environment=staging).order_by("-version").first()
    assert [variant["key"] for variant in step.document["variants"]] == ["control", "variant-b"]
    assert FlagConfig.objects.get(environment=staging).version == 2


def test_update_flag__variant_used_in_another_environment__is_refused(environment, staging, make_flag):
    make_flag("a")
    _update(staging, "a", 1, rollout=[{"variant": "treatment", "percent": 10}])
    with pytest.raises(Invalid) as refused:
        _update(environment, "a", 1, variants=[{"key": "control", "value": False}, {"key": "b", "value": True}])

    assert "staging" in refused.value.problems[0].detail


def test_update_flag__prerequisites_in_a_circle__are_refused(environment, make_flag):
    make_flag("a")
    make_flag("b", prerequisites=[{"flagKey": "a", "variants": ["treatment"]}])
    make_flag("c", prerequisites=[{"flagKey": "b", "variants": ["treatment"]}])
    with pytest.raises(Invalid) as refused:
        _update(environment, "a", 1, prerequisites=[{"flagKey": "c", "variants": ["treatment"]}])

    assert refused.value.problems[0].code == "prerequisite_cycle"


def test_update_flag__prerequisites_deeper_than_ten__are_refused(environment, make_flag):
    make_flag("f0")
    for number in range(1, 11):
        make_flag(f"f{number}", prerequisites=[{"flagKey": f"f{number - 1}", "variants": ["treatment"]}])
    with pytest.raises(Invalid) as refused:
        make_flag("f11", prerequisites=[{"flagKey": "f10", "variants": ["treatment"]}])

    assert refused.value.problems[0].code == "prerequisite_depth"


def test_update_flag__swapped_priorities__works(environment, make_flag):
    rules = [{"priority": 1, "variant": "treatment", "conditions": []}, {"priority": 2, "variant": "control"}]
    config = make_flag("a", rules=rules)
    first, second = config.rules.all()
    with transaction.atomic():
        _update(
            environment,
            "a",
            1,
            rules=[
                {"id": str(first.pk), "priority": 2, "variant": "treatment"},
                {"id": str(second.pk), "priority": 1, "variant": "control"},
            ],
        )

    assert [rule.pk for rule in selectors.get_config(environment, "a").rules.all()] == [second.pk, first.pk]
