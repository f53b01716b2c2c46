"""What a reader of the log may rely on while others write, and how a writer's crash after its commit is mended."""

import threading

import pytest
from django.db import connection

from flags import services
from flags.propagation import publishing
from flags.propagation.runtime import Runtime
from flags.testing.streams import SECONDS, eventually
from flags.versions import loading
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db(transaction=True)


def test_log__read_while_many_write__who_has_seen_a_version_never_learns_of_an_earlier_one(environment, make_flag):
    for name in "abcd":
        make_flag(name)

    def write(name):
        try:
            for _ in range(8):
                services.kill_flag(actor=ALICE, environment=environment, key=name)
                services.release_flag(actor=ALICE, environment=environment, key=name)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    seen, last = [], 4 + 4 * 8 * 2
    while not seen or seen[-1] < last:
        # None would be a gap: a version that became visible before the one below it.
        found = loading.steps_since(environment.pk, seen[-1] if seen else 0)
        assert found is not None
        seen += [step.version for step in found]
    for thread in threads:
        thread.join(SECONDS)

    assert seen == list(range(1, last + 1))


def test_crash__between_commit_and_publish__a_running_process_serves_it_and_publishes_it(
    environment, make_flag, published, settings, monkeypatch
):
    settings.POLL_SECONDS = 0.2
    make_flag("a")
    published()
    runtime = Runtime()
    runtime.start()
    try:
        with monkeypatch.context() as crash:
            crash.setattr(publishing, "publish_changes", lambda changes: None)
            services.kill_flag(actor=ALICE, environment=environment, key="a")

        eventually(lambda: runtime.environments[environment.pk].version == 2)
        heard = []
        eventually(lambda: heard.extend(published()) or heard)
    finally:
        runtime.stop(SECONDS)

    assert [(message["kind"], message["version"]) for message in heard] == [("kill_switch", 2)]
