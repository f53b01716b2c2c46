"""The version log's retention: what rests on a step keeps it, and at the floor everything is exact or refused."""

import threading
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from audit.models import Entry
from flags import services, tasks
from flags.evaluation.explanation import explain_evaluation
from flags.models import Change, FlagConfig, LogFloor
from flags.propagation.kill_status import kill_status
from flags.selectors import get_config
from flags.services import version_log_retention
from flags.versions import history, loading
from tenancy.errors import Invalid, NotFound
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db(transaction=True)
SECTION = {
    "id": "exp-1",
    "status": "running",
    "controlVariant": "control",
    "layer": {"key": None, "salt": "exp-1"},
    "ranges": [[0, 10_000]],
}


@pytest.fixture(autouse=True)
def catch_up(settings):
    settings.STREAM_CATCH_UP_STEPS = 1


@pytest.fixture
def write(environment):
    def _write(key, *numbers):
        for number in numbers:
            services.update_flag(
                actor=ALICE, environment=environment, key=key, payload={"metadata": {"n": number}}, version=None
            )

    return _write


@pytest.fixture
def story(environment, make_flag, write):
    """Versions 1 to 8; all but the last may go, so that the floor is 7."""
    make_flag("a")
    make_flag("b")
    write("a", 1, 2)
    write("b", 1)
    write("a", 3, 4, 5)


def _prune(**options):
    return services.prune_version_log(actor=ALICE, before=timezone.now() + timedelta(days=1), **options)


def _versions():
    return list(Change.objects.order_by("version").values_list("version", flat=True))


def _preview(environment, **asked):
    return explain_evaluation(environment, {"flagKey": "a", "userId": "u", **asked})


def test_prune__works(environment, story):
    environment.refresh_from_db()
    (pruned,) = _prune()

    assert str(pruned) == f"{environment}: 5 steps before version 7"
    # The latest of each flag up to the floor, and everything after it.
    assert _versions() == [5, 7, 8]
    entry = Entry.objects.get(action="version_log.pruned")
    assert (entry.entity_key, entry.after) == ("production", {"floor": 7, "steps": 5})


def test_prune__dry_run__says_the_same_and_drops_nothing(story):
    (pruned,) = _prune(dry_run=True)

    assert (pruned.floor, pruned.steps) == (7, 5)
    assert _versions() == list(range(1, 9))
    assert not LogFloor.objects.exists()
    assert not Entry.objects.filter(action="version_log.pruned").exists()


def test_prune__again__has_nothing_to_do(story):
    _prune()

    assert _prune() == []
    assert LogFloor.objects.get().version == 7
    assert Entry.objects.filter(action="version_log.pruned").count() == 1


def test_prune__interrupted__the_next_run_finishes(story):
    LogFloor.objects.create(environment=Change.objects.first().environment, version=7)

    assert [
        pruned.steps for pruned in services.prune_version_log(actor=ALICE, before=timezone.now() - timedelta(days=9))
    ] == [5]


def test_prune__another_run_has_set_a_higher_floor_meanwhile__it_stays(environment, story, settings, monkeypatch):
    settings.STREAM_CATCH_UP_STEPS = 3
    droppable = version_log_retention._droppable

    def while_another_runs(*arguments):
        found = list(droppable(*arguments))
        LogFloor.objects.create(environment=environment, version=7)
        return found

    monkeypatch.setattr(version_log_retention, "_droppable", while_another_runs)

    assert [pruned.floor for pruned in _prune()] == [5]
    assert LogFloor.objects.get().version == 7


def test_prune__recent__stay_for_those_who_reconnect(story, settings):
    settings.STREAM_CATCH_UP_STEPS = 5
    _prune()
    assert _versions() == [2, 3, 4, 5, 6, 7, 8]

    settings.STREAM_CATCH_UP_STEPS = 50
    assert _prune() == []


def test_prune__one_environment__leaves_the_others(environment, story, globex, make_flag):
    make_flag("x", where=globex)
    for act in (services.kill_flag, services.release_flag, services.kill_flag):
        act(actor=ALICE, environment=globex, key="x")

    _prune(environments=[globex])

    assert LogFloor.objects.get().environment == globex
    assert Change.objects.filter(environment=environment).count() == 8


@pytest.mark.parametrize("version", [6, 7, 8])
def test_time_travel__around_the_floor__is_exact_or_refused(environment, story, version):
    environment.refresh_from_db()
    before = loading.load_document(environment.pk, version=version)
    moment = Change.objects.get(version=version).created_at
    answers = [_preview(environment, configVersion=version), _preview(environment, at=moment)]
    resource = history.resource_at(environment, "a", moment)
    _prune()

    if version < 7:
        assert loading.load_document(environment.pk, version=version) is None
        for asked in ({"configVersion": version}, {"at": moment}):
            with pytest.raises(Invalid) as refused:
                _preview(environment, **asked)
            assert (refused.value.problems[0].attr, refused.value.problems[0].code) == (*asked, "unknown_version")
        with pytest.raises(NotFound):
            history.resource_at(environment, "a", moment)
    else:
        assert loading.load_document(environment.pk, version=version) == before
        assert [_preview(environment, configVersion=version), _preview(environment, at=moment)] == answers
        assert history.resource_at(environment, "a", moment) == resource


def test_current__after_pruning__is_as_it_was(environment, story):
    before = loading.load_document(environment.pk)
    _prune()

    assert loading.load_document(environment.pk) == before
    assert services.rollback_flag(actor=ALICE, environment=environment, key="a", version=5).flag.metadata == {"n": 4}
    with pytest.raises(Invalid):
        services.rollback_flag(actor=ALICE, environment=environment, key="a", version=2)


def test_history__steps_between_are_gone__claims_no_difference_that_it_cannot_know(environment, story, write):
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    write("a", 6, 7, 8)
    _prune()
    flag = get_config(environment, "a").flag

    listed = list(history.version_resources(environment, flag, history.flag_changes(environment, "a")))

    assert [(row["configVersion"], [change["path"] for change in row["changes"]]) for row in listed] == [
        (12, ["metadata.n"]),
        (11, []),
        (9, []),
    ]


@pytest.fixture
def pruned(story, key):
    """A server key's secret, of an environment whose log was pruned before anything listens."""
    _prune()
    return key().secret


@pytest.mark.parametrize("version", [6, 7, 8])
def test_stream__around_the_floor__is_told_each_step_or_a_snapshot(pruned, listen, settings, write, version):
    settings.STREAM_CATCH_UP_STEPS = 1_000

    stream = listen(pruned, last=version)
    write("a", "after")

    expected = [("snapshot", 8)] if version < 7 else [("flag_updated", number) for number in range(version + 1, 9)]
    told = [stream.next_event() for _ in range(len(expected) + 1)]
    assert [(event.event, event.id) for event in told] == [*expected, ("flag_updated", 9)]


def test_prune__archived_and_killed_flags__are_still_known(environment, story, make_flag, write):
    services.kill_flag(actor=ALICE, environment=environment, key="a", reason="it burns")
    write("a", 6)
    services.archive_flag(actor=ALICE, environment=environment, key="b")
    make_flag("c")
    killed = kill_status(get_config(environment, "a"))
    archived = history.resource_at(environment, "b", timezone.now())

    _prune()

    assert kill_status(get_config(environment, "a")) == killed
    assert history.resource_at(environment, "b", timezone.now()) == archived
    assert archived["status"] == "archived"


def test_prune__a_flag_with_an_experiment__keeps_all_from_then_on(environment, story, write):
    @transaction.atomic
    def experiment(section):
        config = FlagConfig.objects.select_related("flag", "environment__project").get(flag__key="a")
        services.set_experiment(actor=ALICE, environment=config.environment, key="a", section=section)

    experiment(SECTION)
    write("a", 6)
    experiment(None)
    write("a", 7, 8)

    _prune()

    assert _versions() == [5, 9, 10, 11, 12, 13]


def test_prune__while_it_is_written__nobody_waits_and_nothing_new_is_lost(environment, story, write):
    pruned = []

    def prune():
        try:
            for _ in range(10):
                pruned.extend(_prune())
        finally:
            connection.close()

    thread = threading.Thread(target=prune)
    thread.start()
    write("a", *range(30))
    thread.join(120)
    floor = LogFloor.objects.get().version

    assert [version for version in _versions() if version > floor] == list(range(floor + 1, 39))
    assert loading.load_document(environment.pk)["flags"]["a"]["metadata"] == {"n": 29}
    assert loading.load_document(environment.pk, version=floor)["version"] == floor
    assert sum(found.steps for found in pruned) == 38 - len(_versions())


def test_task__days_of_the_setting__zero_keeps_all(story, settings, monkeypatch):
    soon = timezone.now() + timedelta(days=3)
    monkeypatch.setattr(tasks, "timezone", SimpleNamespace(now=lambda: soon))
    settings.VERSION_LOG_RETENTION_DAYS = 0
    assert tasks.prune_version_log() == []
    settings.VERSION_LOG_RETENTION_DAYS = 4
    assert tasks.prune_version_log() == []
    settings.VERSION_LOG_RETENTION_DAYS = 2

    assert len(tasks.prune_version_log()) == 1
    assert _versions() == [5, 7, 8]


def test_command__works(story, settings):
    def run(*arguments):
        out = StringIO()
        call_command("version_log", "prune", *arguments, stdout=out)
        return out.getvalue()

    assert run("--days", "1", "--dry-run") == "There is nothing to drop.\n"
    with pytest.raises(CommandError, match="keeps all"):
        run()
    LogFloor.objects.create(environment=Change.objects.first().environment, version=7)
    assert "5 steps before version 7" in run("--days", "1", "--dry-run")
    assert _versions() == list(range(1, 9))
    run("--days", "1")
    assert _versions() == [5, 7, 8]
