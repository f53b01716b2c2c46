"""gRPC as a caller meets it: flagd's service and our own, with the limits, refusals and ids of HTTP."""

import json
import os
import time
from itertools import islice
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from openflagship.rpc.generated.openflagship.v1 import flagship_pb2 as own

from analytics.pipeline.exposure_buffer import EXPOSURES
from flags import services
from flags.prometheus import GRPC_CALLS
from flagship.tests.grpc_server import Served, channel_to, refusal_of
from tenancy import services as tenancy
from tenancy.models import Credential
from tenancy.testing import ALICE

FLAGD = ("flagd.evaluation.v1.Service", "flagd.evaluation.v2.Service")
GOLDEN = Path(__file__).parent / "grpc_golden.json"


def _variants(*values):
    return [{"key": f"v{number}", "value": value} for number, value in enumerate(values)]


@pytest.fixture
def world(transactional_db, environment, make_flag, key):
    """One flag of each type and fate. The first variant is the default."""
    services.create_segment(
        actor=ALICE,
        environment=environment,
        payload={"key": "beta", "included": ["ann"], "excluded": [], "conditions": None},
    )
    make_flag("on", rollout=[{"variant": "treatment", "percent": 100}], metadata={"team": "shop", "rank": 2})
    make_flag("off", enabled=False)
    make_flag("text", type="string", variants=_variants("a", ""))
    make_flag("ratio", type="number", variants=_variants(0.5, 1))
    make_flag("count", type="number", variants=_variants(7, 8))
    make_flag("shape", type="json", variants=_variants({"size": 3, "tags": ["a", None], "deep": {"on": True}}, {}))
    make_flag("list", type="json", variants=_variants([1], [2]))
    make_flag("bare", type="json", variants=_variants(True, "a"))
    make_flag("null", type="json", variants=_variants(None, {}))
    beta = [{"operator": "in_segment", "value": ["beta"]}]
    make_flag("aimed", rules=[{"priority": 1, "conditions": beta, "variant": "treatment"}])
    make_flag("above", prerequisites=[{"flagKey": "aimed", "variants": ["treatment"]}])
    return {"server": key().secret, "client": key("client").secret}


@pytest.fixture
def served(world):
    """The gRPC process, which knows the world."""
    with Served() as served:
        yield served


@pytest.fixture
def calls(served):
    with channel_to(served) as calls:
        yield calls


_USER = {"context": {"targetingKey": "ann", "country": "DE", "visits": 3}}
_RESOLVED = [
    *((method, {"flagKey": flag, **_USER})
      for method, flag in (
          ("ResolveBoolean", "on"), ("ResolveBoolean", "off"), ("ResolveBoolean", "aimed"), ("ResolveBoolean", "above"),
          ("ResolveString", "text"), ("ResolveFloat", "ratio"), ("ResolveFloat", "count"), ("ResolveInt", "count"),
          ("ResolveObject", "shape"), ("ResolveBoolean", "text"), ("ResolveInt", "ratio"), ("ResolveString", "nope"),
          ("ResolveObject", "list"), ("ResolveObject", "null"), ("ResolveBoolean", "bare"), ("ResolveObject", "bare"),
      )),
    ("ResolveBoolean", {"flagKey": "on", "context": {"targetingKey": 7}}),
    ("ResolveBoolean", {"flagKey": "aimed"}),
]  # fmt: skip
_OWN = [
    ("Evaluation.Evaluate", {"flagKey": "on", "userId": "ann", "attributes": {"country": "DE"}}),
    ("Evaluation.Evaluate", {"flagKey": "shape", "userId": "ann", "source": "till"}),
    ("Evaluation.Evaluate", {"flagKey": "nope", "userId": "ann", "defaultValue": 3}),
    ("Evaluation.Evaluate", {"userId": "ann"}),
    ("Evaluation.EvaluateAll", {"userId": "ann", "flagKeys": ["off", "aimed", "nope"]}),
    ("Evaluation.EvaluateAll", {"userId": "ann", "exposures": "some"}),
    ("Config.GetSnapshot", {"ifNoneMatch": "*"}),
]


def _settled(value):
    """Without what differs from run to run."""
    if isinstance(value, dict):
        settled = {"evaluationId", "evaluation_id", "etag", "ageSeconds", "ruleId"}
        return {name: "…" if name in settled else _settled(member) for name, member in value.items()}
    return [_settled(member) for member in value] if isinstance(value, list) else value


def test_services__every_golden_call__says_what_it_said_before(world, calls):
    server = calls(world["server"], x_request_id="golden-1")
    anonymous, client = calls(None, x_request_id="golden-2"), calls(world["client"], x_request_id="golden-3")
    said = [
        *((f"{service}.{method}", message, server) for service in FLAGD for method, message in _RESOLVED),
        (f"{FLAGD[0]}.ResolveAll", _USER, server),
        *((f"openflagship.v1.{method}", message, server) for method, message in _OWN),
        (f"{FLAGD[1]}.ResolveBoolean", {"flagKey": "on"}, anonymous),
        ("openflagship.v1.Config.GetSnapshot", {}, client),
    ]
    found = [
        {"method": method, "request": message, **_settled(caller.golden(method, message))}
        for method, message, caller in said
    ]
    if "WRITE_GOLDEN" in os.environ:
        GOLDEN.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")

    assert found == json.loads(GOLDEN.read_text())
    # A provider would keep such an answer.
    assert "STATIC" not in GOLDEN.read_text()


def test_flagd__an_evaluation__is_counted_exposed_and_named(world, calls, environment):
    before = GRPC_CALLS.labels("flagd.evaluation.v2.Service.ResolveBoolean", "OK")._value.get()
    # flagd's providers can send a selector, and no authorization.
    caller = calls(None, flagd_selector=world["client"])
    made, request = caller.method(f"{FLAGD[1]}.ResolveBoolean")
    message = request(flag_key="on")
    message.context.update({"targetingKey": "ann", "country": "DE"})

    answer, call = made.with_call(message, metadata=caller.metadata, timeout=90)

    assert (answer.value, answer.variant, answer.reason) == (True, "treatment", "SPLIT")
    assert dict(call.trailing_metadata())["x-request-id"] == answer.metadata["evaluationId"]
    assert EXPOSURES.depth == 1
    assert GRPC_CALLS.labels("flagd.evaluation.v2.Service.ResolveBoolean", "OK")._value.get() == before + 1


def test_flagd__a_kill_and_a_segment__are_told_at_once(world, calls, environment):
    events = calls(world["client"]).call(f"{FLAGD[1]}.EventStream")
    assert next(events).type == "provider_ready"

    started = time.monotonic()
    services.kill_flag(actor=ALICE, environment=environment, key="on")
    told = next(events)
    # It takes milliseconds, but for a busy machine.
    assert time.monotonic() - started < 4
    assert (told.type, list(told.data["flags"])) == ("configuration_change", ["on"])
    answer = calls(world["client"]).call(f"{FLAGD[1]}.ResolveBoolean", {"flagKey": "on", **_USER})
    assert (answer.value, answer.reason) == (False, "DISABLED")
    services.update_segment(actor=ALICE, environment=environment, key="beta", payload={"included": []}, version=None)
    flags = set()
    while "above" not in flags:
        flags |= set(next(events).data["flags"])
    assert {"aimed", "above"} <= flags <= {"on", "aimed", "above"}


def test_watch__from_a_version__has_what_the_stream_has_and_ends_with_its_key(world, calls, environment):
    caller = calls(world["server"])
    # The first message tells the server's age.
    _, first = islice(caller.call("openflagship.v1.Config.Watch"), 2)
    snapshot = caller.call("openflagship.v1.Config.GetSnapshot")
    assert (first.kind, first.version, first.document) == ("snapshot", snapshot.version, snapshot.document)
    assert list(first.signatures) == list(snapshot.signatures)

    services.kill_flag(actor=ALICE, environment=environment, key="on")
    events = caller.call("openflagship.v1.Config.Watch", {"lastVersion": str(first.version)})
    kill = next(event for event in events if event.HasField("version"))
    assert (kill.kind, kill.version) == ("kill_switch", first.version + 1)
    assert json.loads(kill.document)["killSwitchVariant"] == "control"

    credential = Credential.objects.get(kind="server")
    tenancy.revoke_credential(actor=ALICE, credential=credential)
    with pytest.raises(grpc.RpcError) as refused:
        list(events)
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_ingest__batches__are_acknowledged_one_by_one_with_the_refusals_of_http(world, calls):
    exposure = {
        "evaluationId": "0198a3a0-0000-7000-8000-000000000001", "flagKey": "on", "userId": "ann",
        "variant": "treatment", "timestamp": "2026-11-29T12:00:00Z",
    }  # fmt: skip
    bodies = [
        (own.EVENT_KIND_EXPOSURE, {"events": [exposure, {"flagKey": "on"}]}),
        (own.EVENT_KIND_CONVERSION, {"userId": "ann"}),
        (own.EVENT_KIND_UNSPECIFIED, {}),
    ]
    batches = (
        own.IngestRequest(id=f"batch-{number}", kind=kind, body=json.dumps(body).encode())
        for number, (kind, body) in enumerate(bodies)
    )

    mixed, single, unnamed = calls(world["client"]).call("openflagship.v1.Events.Ingest", batches)

    assert (mixed.id, mixed.accepted) == ("batch-0", 1)
    assert [(remark.index, remark.code) for remark in mixed.rejected] == [(1, "required")]
    assert (single.id, [problem.code for problem in single.error.errors]) == ("batch-1", ["required"])
    assert [problem.attr for problem in unnamed.error.errors] == ["kind"]


def test_limits__over_the_keys__are_refused_with_the_time_to_wait(world, calls, settings):
    settings.RATE_LIMIT_KEY = 1
    caller = calls(world["client"])
    caller.call(f"{FLAGD[1]}.ResolveBoolean", {"flagKey": "on"})

    with pytest.raises(grpc.RpcError) as refused:
        caller.call(f"{FLAGD[1]}.ResolveBoolean", {"flagKey": "on"})

    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    body = refusal_of(refused.value)
    assert (body.errors[0].code, body.retry_after_seconds > 0) == ("rate_limited", True)
    trailing = dict(refused.value.trailing_metadata())
    assert trailing["retry-after"] == str(body.retry_after_seconds)
    assert trailing["ratelimit-limit"] == "1"


def test_health_and_reflection__without_a_key__answer(world, served):
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        checked = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=FLAGD[1]), timeout=90)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        listed = next(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked, timeout=90))

    assert checked.status == health_pb2.HealthCheckResponse.SERVING
    assert {service.name for service in listed.list_services_response.service} == {
        *FLAGD, "openflagship.v1.Config", "openflagship.v1.Events", "openflagship.v1.Evaluation",
        "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection",
    }  # fmt: skip


def test_key__made_after_the_start__works_at_its_first_call(world, calls, key):
    made = key("client").secret

    answer = calls(made).call(f"{FLAGD[1]}.ResolveBoolean", {"flagKey": "on", **_USER})

    assert answer.reason == "SPLIT"
