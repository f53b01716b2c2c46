"""Archive, restore, kill, release and the experiment's section: state, audit row, version log, and the message."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.chain import verify
from audit.models import Entry
from flags import services
from flags.documents import flag_document
from flags.models import Change, FlagConfig
from flags.selectors import get_config
from tenancy import services as tenancy
from tenancy.errors import Conflict, Invalid, NotFound
from tenancy.models import Environment
from tenancy.testing import ALICE

SECTION = {
    "id": "exp-1",
    "status": "running",
    "controlVariant": "control",
    "layer": {"key": None, "salt": "exp-1"},
    "ranges": [[0, 10_000]],
}


@pytest.fixture
def committing(django_capture_on_commit_callbacks):
    return lambda: django_capture_on_commit_callbacks(execute=True)


def _entries():
    return list(Entry.objects.order_by("id").values_list("action", flat=True))


def _steps(environment):
    return list(Change.objects.filter(environment=environment).order_by("version").values_list("kind", "document"))


def test_archive_flag__works(environment, staging, make_flag, published, committing):
    with committing():
        make_flag("a")
    published()
    with committing():
        config = services.archive_flag(actor=ALICE, environment=environment, key="a", reason="done")

    assert config.flag.is_archived
    assert config.flag.archived_at is not None
    entry = Entry.objects.get(action="flag.archived")
    assert (entry.reason, entry.after["status"]) == ("done", "archived")
    assert _steps(environment)[-1] == ("flag_archived", None)
    assert {(message["environment"], message["document"]) for message in published()} == {
        (environment.pk, None),
        (staging.pk, None),
    }


def test_archive_flag__again__changes_nothing(environment, make_flag):
    make_flag("a")
    services.archive_flag(actor=ALICE, environment=environment, key="a")
    entries, steps = _entries(), _steps(environment)
    services.archive_flag(actor=ALICE, environment=environment, key="a")

    assert (_entries(), _steps(environment)) == (entries, steps)


def test_archive_flag__is_a_prerequisite__is_refused_with_its_users(environment, make_flag):
    make_flag("a")
    make_flag("b", prerequisites=[{"flagKey": "a", "variants": ["treatment"]}])
    with pytest.raises(Conflict) as refused:
        services.archive_flag(actor=ALICE, environment=environment, key="a")

    assert refused.value.problems[0].code == "in_use"
    assert "b (production, prerequisite)" in refused.value.problems[0].detail


def test_archive_flag__runs_an_experiment__is_refused(environment, make_flag):
    make_flag("a")
    services.set_experiment(actor=ALICE, environment=environment, key="a", section=SECTION)
    with pytest.raises(Conflict, match="an experiment"):
        services.archive_flag(actor=ALICE, environment=environment, key="a")


def test_update_flag__archived__is_refused(environment, make_flag):
    make_flag("a")
    services.archive_flag(actor=ALICE, environment=environment, key="a")
    with pytest.raises(Conflict) as refused:
        services.update_flag(actor=ALICE, environment=environment, key="a", payload={"enabled": False}, version=None)

    assert refused.value.problems[0].code == "flag_archived"


def test_restore_flag__works(environment, staging, make_flag, published, committing):
    before = flag_document(make_flag("a", rollout=[{"variant": "treatment", "percent": 25}]))
    services.archive_flag(actor=ALICE, environment=environment, key="a")
    with committing():
        config = services.restore_flag(actor=ALICE, environment=environment, key="a", reason="needed")

    assert not config.flag.is_archived
    assert {**flag_document(config), "version": before["version"]} == before
    assert Entry.objects.get(action="flag.restored").reason == "needed"
    assert _steps(environment)[-1] == ("flag_updated", flag_document(config))
    assert {message["environment"] for message in published()} == {environment.pk, staging.pk}


def test_kill_flag__works(environment, make_flag, published, committing):
    with committing():
        make_flag("a", defaultVariant="treatment")
    published()
    with committing():
        config = services.kill_flag(actor=ALICE, environment=environment, key="a", reason="on fire")

    assert config.kill_switch_variant == "control"
    assert config.killed_at is not None
    entry = Entry.objects.get(action="flag.killed")
    assert (entry.reason, entry.after["killSwitchVariant"]) == ("on fire", "control")
    assert _steps(environment)[-1] == ("kill_switch", flag_document(config))
    (message,) = published()
    assert (message["kind"], message["document"]["killSwitchVariant"]) == ("kill_switch", "control")


def test_kill_flag__again__changes_nothing(environment, make_flag):
    make_flag("a")
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    entries, steps = _entries(), _steps(environment)
    services.kill_flag(actor=ALICE, environment=environment, key="a")

    assert (_entries(), _steps(environment)) == (entries, steps)


def test_kill_flag__unknown_variant__is_refused_by_name(environment, make_flag):
    make_flag("a")
    with pytest.raises(Invalid) as refused:
        services.kill_flag(actor=ALICE, environment=environment, key="a", variant="blue")

    assert (refused.value.problems[0].attr, refused.value.problems[0].code) == ("variant", "unknown_variant")


def test_kill_flag__unknown_flag__is_not_found(environment):
    with pytest.raises(NotFound):
        services.kill_flag(actor=ALICE, environment=environment, key="nope")


def test_release_flag__works(environment, make_flag, published, committing):
    make_flag("a")
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    with committing():
        config = services.release_flag(actor=ALICE, environment=environment, key="a", reason="mended")

    assert (config.kill_switch_variant, config.killed_at, config.kill_reason) == ("", None, "")
    assert Entry.objects.get(action="flag.released").reason == "mended"
    kind, document = _steps(environment)[-1]
    assert (kind, document["killSwitchVariant"]) == ("kill_switch", None)
    assert published()[-1]["document"]["killSwitchVariant"] is None


def test_release_flag__not_killed__changes_nothing(environment, make_flag):
    make_flag("a")
    entries = _entries()
    services.release_flag(actor=ALICE, environment=environment, key="a")

    assert _entries() == entries


def test_kill_flags__many__cost_as_many_queries_as_two_and_are_logged_in_order(
    environment, make_flag, published, committing, django_assert_num_queries
):
    keys = [f"f{number}" for number in range(12)]
    for key in keys:
        make_flag(key)
    services.archive_flag(actor=ALICE, environment=environment, key="f3")
    services.kill_flag(actor=ALICE, environment=environment, key="f4", variant="treatment")
    with CaptureQueriesContext(connection) as of_two:
        services.kill_flags(actor=ALICE, environment=environment, keys=["f0", "f1"], reason="early")
    last = _steps(environment)
    published()
    with committing(), django_assert_num_queries(len(of_two)):
        killed = services.kill_flags(actor=ALICE, environment=environment, keys=keys, reason="on fire")

    wanted = sorted(set(keys) - {"f3"})
    assert [config.flag.key for config in killed] == wanted
    stored = FlagConfig.objects.filter(environment=environment, flag__key__in=wanted)
    assert set(stored.values_list("kill_switch_variant", flat=True)) == {"control"}
    expected = sorted(set(wanted) - {"f0", "f1"})
    documents = [document for _, document in _steps(environment)[len(last) :]]
    assert [document["key"] for document in documents] == expected
    assert documents == [flag_document(get_config(environment, key)) for key in expected]
    assert [message["document"] for message in published()] == documents
    entries = Entry.objects.filter(action="flag.killed", reason="on fire").order_by("position")
    assert [entry.entity_key for entry in entries] == expected
    assert next(entry for entry in entries if entry.entity_key == "f4").before["killSwitchVariant"] == "treatment"
    assert not verify(environment.project.organization_id).broken


def test_release_flags__some_not_killed__releases_the_others(environment, make_flag):
    for key in ("a", "b", "c"):
        make_flag(key)
    services.kill_flags(actor=ALICE, environment=environment, keys=["a", "c"])
    entries = len(_entries())
    services.release_flags(actor=ALICE, environment=environment, keys=["a", "b", "c"], reason="mended")

    assert not FlagConfig.objects.filter(environment=environment).exclude(kill_switch_variant="").exists()
    assert _entries()[entries:] == ["flag.released", "flag.released"]


def test_release__archived_while_killed__is_not_served_again(environment, make_flag):
    make_flag("a")
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    services.archive_flag(actor=ALICE, environment=environment, key="a")

    with pytest.raises(Conflict) as refused:
        services.release_flag(actor=ALICE, environment=environment, key="a")
    assert services.release_flags(actor=ALICE, environment=environment, keys=["a"]) == []
    assert refused.value.problems[0].code == "flag_archived"
    assert _steps(environment)[-1] == ("flag_archived", None)


def test_set_experiment__works(environment, make_flag, published, committing):
    make_flag("a", rollout=[{"variant": "control", "percent": 50}, {"variant": "treatment", "percent": 50}])
    with committing():
        services.set_experiment(actor=ALICE, environment=environment, key="a", section=SECTION)

    assert FlagConfig.objects.get(environment=environment).experiment == SECTION
    assert _steps(environment)[-1][1]["experiment"] == SECTION
    assert published()[-1]["document"]["experiment"] == SECTION


def test_set_experiment__another_is_there__is_refused(environment, make_flag):
    make_flag("a")
    services.set_experiment(actor=ALICE, environment=environment, key="a", section=SECTION)
    with pytest.raises(Conflict) as refused:
        services.set_experiment(actor=ALICE, environment=environment, key="a", section={**SECTION, "id": "exp-2"})

    assert refused.value.problems[0].code == "experiment_conflict"


def test_update_flag__changed_split_under_an_experiment__is_rollout_conflict(environment, make_flag):
    make_flag("a", rollout=[{"variant": "control", "percent": 50}, {"variant": "treatment", "percent": 50}])
    services.set_experiment(actor=ALICE, environment=environment, key="a", section=SECTION)
    with pytest.raises(Conflict) as refused:
        services.update_flag(
            actor=ALICE,
            environment=environment,
            key="a",
            payload={"rollout": [{"variant": "treatment", "percent": 100}]},
            version=None,
        )

    assert refused.value.problems[0].code == "rollout_conflict"


def test_create_environment__flags_exist__each_gets_a_configuration_there(environment, make_flag, project):
    make_flag("a")
    make_flag("b")
    services.archive_flag(actor=ALICE, environment=environment, key="b")
    created = tenancy.create_environment(actor=ALICE, project=project, key="qa", name="QA")

    assert set(
        FlagConfig.objects.filter(environment=created).values_list("flag__key", "is_enabled", "default_variant")
    ) == {
        ("a", False, "control"),
        ("b", False, "control"),
    }
    assert list(Change.objects.filter(environment=created).values_list("key", flat=True)) == ["a"]
    assert Entry.objects.get(action="environment.created", entity_key="qa").actor_label == "alice"


def test_kill_flag__environment_deleted_meanwhile__is_not_found(environment, make_flag):
    make_flag("a")
    tenancy.delete_environment(actor=ALICE, environment=Environment.objects.get(pk=environment.pk))

    with pytest.raises(NotFound, match="deleted meanwhile"):
        services.kill_flag(actor=ALICE, environment=environment, key="a")
