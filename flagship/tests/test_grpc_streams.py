"""Streams over gRPC: what they may take, how they begin, and how they end."""

import asyncio
import json
import queue
import threading

import grpc
import pytest
from openflagship.rpc.generated.openflagship.v1 import flagship_pb2 as own

from flags.prometheus import EVALUATION_SECONDS
from flags.streaming.hub import HUB
from flags.streaming.places import PLACES
from flags.streaming.stream_events import StreamEvent
from flagship.serving.rpc import intake
from flagship.serving.rpc.process import Observed
from flagship.tests.grpc_server import SECONDS, Served, channel_to, refusal_of
from flagship.tests.stack import eventually
from tenancy import services as tenancy
from tenancy.models import Credential
from tenancy.testing import ALICE

INGEST, WATCH = "openflagship.v1.Events.Ingest", "openflagship.v1.Config.Watch"


@pytest.fixture
def secrets(transactional_db, environment, make_flag, key):
    make_flag("on")
    return {"server": key().secret, "client": key("client").secret}


@pytest.fixture
def served(secrets):
    with Served() as served:
        yield served


@pytest.fixture
def calls(served):
    with channel_to(served) as calls:
        yield calls


class Sending:
    """An open stream of batches, whose answers are read one by one."""

    def __init__(self, caller):
        self._batches: queue.Queue = queue.Queue()
        self.answers = caller.call(INGEST, iter(self._batches.get, None))

    def batch(self):
        """The answer to a batch of one conversion."""
        body = json.dumps({"userId": "ann", "eventName": "sale"}).encode()
        self._batches.put(own.IngestRequest(kind=own.EVENT_KIND_CONVERSION, body=body))
        return next(self.answers)

    def end(self):
        """The refusal with which the server ends the stream, while nothing is sent."""
        with pytest.raises(grpc.RpcError) as refused:
            next(self.answers)
        return refused.value.code()


def test_ingest__an_open_stream__has_a_place_pays_for_each_batch_and_ends_with_its_key_and_its_process(
    calls, served, secrets, settings
):
    settings.STREAM_MAX_PER_KEY = 1
    sending = Sending(calls(secrets["client"]))
    assert sending.batch().accepted == 1
    with pytest.raises(grpc.RpcError) as refused:
        Sending(calls(secrets["client"])).batch()
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "streams open" in refusal_of(refused.value).errors[0].detail

    # The batches come out of the key's limit, and one too many is refused alone.
    settings.RATE_LIMIT_KEY = 1
    answers = [sending.batch() for _ in range(2)]
    assert [problem.code for problem in answers[-1].error.errors] == ["rate_limited"]
    assert answers[-1].error.retry_after_seconds > 0
    settings.RATE_LIMIT_KEY = 1_000_000

    other = Sending(calls(secrets["server"]))
    assert other.batch().accepted == 1
    tenancy.revoke_credential(actor=ALICE, credential=Credential.objects.get(kind="client"))
    assert sending.end() == grpc.StatusCode.UNAUTHENTICATED
    assert other.batch().accepted == 1
    served.on_loop(HUB.drain)
    assert other.end() == grpc.StatusCode.UNAVAILABLE
    eventually(lambda: not served.on_loop(lambda: dict(PLACES._taken)), what="both places are given back")


def test_ingest__batches_that_wait_for_a_slow_database__are_bounded_in_bytes(monkeypatch):
    goes_on = threading.Event()

    def slowly(batch, _key, _request_id):
        assert goes_on.wait(SECONDS)
        return own.IngestResponse(id=batch.id, accepted=1)

    monkeypatch.setattr(intake, "_taken", slowly)
    monkeypatch.setattr(intake, "_MOST_BYTES", 1_000)

    async def run():
        taking, batch = intake.Intake(), own.IngestRequest(body=b"x" * 600)
        first = asyncio.ensure_future(taking.take(batch, None, "1"))
        await asyncio.sleep(0)
        answers = [await taking.take(batch, None, "2")]
        # Whoever leaves takes nothing back: a thread still has its batch.
        first.cancel()
        await asyncio.wait((first,))
        answers.append(await taking.take(batch, None, "3"))
        assert [answer.error.errors[0].code for answer in answers] == ["unavailable"] * 2
        goes_on.set()
        while (answer := await taking.take(batch, None, "4")).HasField("error"):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        assert answer.accepted == 1
        await asyncio.to_thread(taking.stop)

    asyncio.run(asyncio.wait_for(run(), SECONDS))


def test_watch__from_its_first_message_to_its_last__says_its_age_and_when_to_come_back(
    calls, served, secrets, settings
):
    settings.STREAM_DRAIN_WINDOW_SECONDS = 5
    stream = calls(secrets["server"]).call(WATCH)

    first, snapshot = next(stream), next(stream)
    assert (first.kind, first.HasField("version"), first.age_seconds < SECONDS) == ("", False, True)
    assert 1_000 <= first.retry_milliseconds <= 3_000
    assert snapshot.kind == "snapshot"
    served.on_loop(HUB.drain)
    with pytest.raises(grpc.RpcError) as ended:
        for last in stream:  # noqa: B007 - the last one is looked at
            # Before it a busy machine may have said once more how old the snapshot is.
            pass
    assert 0 <= last.retry_milliseconds <= 5_000
    assert ended.value.code() == grpc.StatusCode.UNAVAILABLE


def test_watch__read_too_slowly__ends_with_what_to_do_once_it_is_read_on(calls, served, secrets, environment):
    stream = calls(secrets["server"]).call(WATCH)
    assert [next(stream).kind, next(stream).kind] == ["", "snapshot"]

    def tell():
        feed = HUB._feeds[environment.pk]
        for _ in range(4):
            feed.broadcast(StreamEvent(feed.version + 1, "flag_updated", b"x" * 3_000_000))

    served.on_loop(tell)
    with pytest.raises(grpc.RpcError) as ended:
        list(stream)

    assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "too slowly" in ended.value.details()


@pytest.mark.parametrize(
    ("method", "is_stream", "timed"),
    [
        ("flagd.evaluation.v2.Service.ResolveBoolean", False, 1),
        ("openflagship.v1.Evaluation.EvaluateAll", False, 1),
        ("openflagship.v1.Config.GetSnapshot", False, 0),
        ("flagd.evaluation.v2.Service.EventStream", True, 0),
    ],
)
def test_times__of_calls__are_those_of_evaluations(monkeypatch, method, is_stream, timed):
    monkeypatch.setattr("flagship.serving.rpc.process.SAMPLE", 1)
    seen: list[float] = []
    monkeypatch.setattr(EVALUATION_SECONDS, "observe", seen.append)
    call = type("Ended", (), {"method": method, "is_stream": is_stream, "caller": "", "request": None})()

    Observed()(call, grpc.StatusCode.OK, 0.5)

    assert len(seen) == timed
