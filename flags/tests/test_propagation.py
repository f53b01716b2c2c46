"""Publishing: in the order of the log, each step once, whoever publishes it, and not at all if rolled back."""

import threading

import orjson
import pytest
from django.db import OperationalError, connection, transaction

from flags import services
from flags.models import Change
from flags.propagation import publishing
from flags.propagation.publishing import KILLS, PUBLISHED, client, publish_changes, sweep
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def silent(monkeypatch):
    """A writer that crashes between commit and publish, for as long as the test wants it to."""
    monkeypatch.setattr(publishing, "publish_changes", lambda changes: None)
    return monkeypatch


def _versions(messages):
    return [message["version"] for message in messages]


def test_publish__works(environment, make_flag, published):
    make_flag("a")

    (message,) = published()
    change = Change.objects.get()
    assert message == {
        "environment": environment.pk,
        "version": 1,
        "kind": "flag_updated",
        "entity": "flag",
        "key": "a",
        "document": change.document,
        "at": int(change.created_at.timestamp() * 1000),
    }
    assert client().hget(PUBLISHED, str(environment.pk)) == b"1"


def test_publish__rolled_back__nothing_is_heard(environment, make_flag, published):
    with transaction.atomic():
        make_flag("a")
        transaction.set_rollback(True)

    assert published() == []
    assert Change.objects.count() == 0


def test_publish__the_later_commit_publishes_first__is_heard_in_order_and_once(make_flag, published, silent):
    make_flag("a")
    make_flag("b")
    silent.undo()
    first, second = Change.objects.order_by("version")
    client().hset(PUBLISHED, str(first.environment_id), 0)

    publish_changes([second])
    publish_changes([first])

    assert _versions(published()) == [1, 2]


def test_publish__a_writer_crashed_before__its_step_goes_out_with_the_next(
    environment, make_flag, published, monkeypatch
):
    make_flag("a")
    with monkeypatch.context() as crash:
        crash.setattr(publishing, "publish_changes", lambda changes: None)
        services.kill_flag(actor=ALICE, environment=environment, key="a")
    assert _versions(published()) == [1]

    services.release_flag(actor=ALICE, environment=environment, key="a")

    assert _versions(published()) == [2, 3]


def test_publish__many_in_one_transaction__go_out_in_order_after_what_a_crashed_writer_left(
    environment, make_flag, published, monkeypatch
):
    monkeypatch.setattr(publishing, "_STEPS_SENT_AT_ONCE", 2)
    keys = list("abcde")
    with monkeypatch.context() as crash:
        crash.setattr(publishing, "publish_changes", lambda changes: None)
        for key in keys[1:]:
            make_flag(key)
    make_flag(keys[0])
    published()
    with monkeypatch.context() as crash:
        crash.setattr(publishing, "publish_changes", lambda changes: None)
        services.kill_flag(actor=ALICE, environment=environment, key="c")

    services.kill_flags(actor=ALICE, environment=environment, keys=keys)

    heard = published()
    assert _versions(heard) == list(range(6, 11))
    assert [message["key"] for message in heard] == ["c", "a", "b", "d", "e"]
    assert client().zcard(publishing.kill_versions_key(environment.pk)) == 5


def test_publish__eight_writers__every_step_once_in_order(environment, make_flag, published):
    for name in "abcdefgh":
        make_flag(name)
    published()

    def write(name):
        try:
            for _ in range(10):
                services.kill_flag(actor=ALICE, environment=environment, key=name)
                services.release_flag(actor=ALICE, environment=environment, key=name)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    sweep({environment.pk: Change.objects.count()})
    assert _versions(published()) == list(range(9, 169))


def test_publish__steps_missing_and_database_away__a_kill_goes_out_all_the_same(
    environment, make_flag, published, silent
):
    make_flag("a")
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    silent.undo()
    client().hset(PUBLISHED, str(environment.pk), 0)
    kill = Change.objects.get(version=2)

    def away(*_arguments):
        raise OperationalError("away")

    with silent.context() as outage:
        outage.setattr(publishing, "_steps_between", away)
        publish_changes([kill])
    assert _versions(published()) == [2]

    sweep({environment.pk: 2})
    assert _versions(published()) == [1, 2]


def test_publish__redis_away__the_write_succeeds(environment, make_flag, settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    make_flag("a")

    assert Change.objects.count() == 1


def test_sweep__committed_and_never_published__goes_out_once(environment, make_flag, published, silent):
    make_flag("a")
    make_flag("b")
    silent.undo()
    client().hset(PUBLISHED, str(environment.pk), 0)

    sweep({environment.pk: 2})
    sweep({environment.pk: 2})

    assert _versions(published()) == [1, 2]


def test_sweep__far_behind__publishes_the_last_and_leaves_the_rest_to_the_log(
    environment, make_flag, published, silent
):
    for name in "abcdef":
        make_flag(name)
    silent.undo()
    client().hset(PUBLISHED, str(environment.pk), 0)
    silent.setattr(publishing, "MOST_STEPS_PUBLISHED_AT_ONCE", 2)

    sweep({environment.pk: 6})

    assert _versions(published()) == [5, 6]


def test_sweep__redis_lost_its_memory__the_last_step_is_told_again(environment, make_flag, published):
    make_flag("a")
    make_flag("b")
    client().delete(PUBLISHED)
    published()

    sweep({environment.pk: 2})

    assert _versions(published()) == [2]


def test_sweep__database_was_restored_from_a_backup__what_is_written_then_is_heard(environment, make_flag, published):
    for name in "abc":
        make_flag(name)
    services.kill_flag(actor=ALICE, environment=environment, key="a")
    Change.objects.filter(version__gt=2).delete()
    type(environment).objects.update(config_version=2)
    published()

    sweep({environment.pk: 2})
    services.release_flag(actor=ALICE, environment=environment, key="a")

    assert _versions(published()) == [3]
    assert client().hget(PUBLISHED, str(environment.pk)) == b"3"
    assert client().zrange(publishing.kill_versions_key(environment.pk), 0, -1) == [b"3"]


def test_sweep__this_process_is_only_behind__leaves_the_watermark(environment, make_flag):
    make_flag("a")
    make_flag("b")

    sweep({environment.pk: 1})

    assert client().hget(PUBLISHED, str(environment.pk)) == b"2"


def test_kill__noted_for_cold_starters__the_latest_word_stays(environment, make_flag):
    make_flag("a")
    services.kill_flag(actor=ALICE, environment=environment, key="a", variant="treatment")
    killed = Change.objects.get(version=2)
    services.release_flag(actor=ALICE, environment=environment, key="a")

    publish_changes([killed])

    version, _, document = client().hget(KILLS, f"{environment.pk}:flag:a").partition(b" ")
    assert version == b"3"
    assert orjson.loads(document)["killSwitchVariant"] is None
