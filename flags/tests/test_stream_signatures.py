"""The snapshot on the stream is signed as `GET snapshot` is, by each valid key; a change is not."""

import orjson
import pytest
from websockets.sync.client import connect

from flags import services
from flags.propagation.runtime import RUNTIME
from flags.propagation.signing import SIGNING, signing_key
from flags.services.signing import retire_previous_signing_key, rotate_signing_key
from flags.testing.streams import SECONDS, eventually
from tenancy.testing import ALICE


@pytest.fixture
def secret(transactional_db, environment, make_flag, key):
    make_flag("a")
    return key().secret


def _signed(environment, body, *generations):
    return tuple(signing_key(environment.pk, generation).sign(body) for generation in generations)


def test_snapshot__works(environment, secret, listen):
    stream = listen(secret)

    snapshot = stream.next_event()
    assert snapshot.event == "snapshot"
    assert snapshot.signatures == _signed(environment, snapshot.body, 1)

    services.kill_flag(actor=ALICE, environment=environment, key="a")
    assert stream.next_event().signatures == ()


def test_snapshot__is_what_get_snapshot_answers(environment, key, secret, listen):
    event = listen(secret).next_event()

    answer = key().get("snapshot")

    assert answer.content == event.body
    assert answer.headers["X-Signature"] == event.signatures[0]


def test_snapshot__while_keys_are_rotated__is_signed_by_both_then_by_the_new(environment, secret, listen):
    old = listen(secret).next_event()

    rotate_signing_key(actor=ALICE, environment=environment)
    eventually(lambda: len(SIGNING.keys(environment.pk)) == 2)
    both = listen(secret).next_event()
    retire_previous_signing_key(actor=ALICE, environment=environment)
    eventually(lambda: len(SIGNING.keys(environment.pk)) == 1)
    new = listen(secret).next_event()

    assert old.body == both.body == new.body
    assert both.signatures == _signed(environment, both.body, 2, 1)
    assert new.signatures == _signed(environment, new.body, 2)


def test_snapshot__over_websocket__names_its_signatures(environment, secret, stream_port):
    address = f"ws://127.0.0.1:{stream_port}/ws/stream"
    with connect(address, additional_headers={"Authorization": f"Bearer {secret}"}) as connection:
        frame = connection.recv(timeout=SECONDS)
        services.kill_flag(actor=ALICE, environment=environment, key="a")
        killed = orjson.loads(connection.recv(timeout=SECONDS))

    body = frame[frame.index('"data":') + len('"data":') : -1].encode()
    assert orjson.loads(frame)["signatures"] == list(_signed(environment, body, 1))
    assert orjson.loads(body)["version"] == RUNTIME.environments[environment.pk].version - 1
    assert "signatures" not in killed
