"""The Go SDK over gRPC against the real gRPC process, and the code that is made of `proto/` for it."""

import pytest

from flags import services
from flagship.tests.grpc_server import Served
from flagship.tests.stack import eventually
from sdk.conformance import golang
from sdk.conformance.service import Client, Service
from tenancy import services as tenancy
from tenancy.models import Credential
from tenancy.testing import ALICE

pytestmark = [pytest.mark.go, pytest.mark.xdist_group("go")]


@pytest.fixture
def client(transactional_db, environment, make_flag, key):
    """A client whose HTTP leads nowhere: all that it is told comes over gRPC."""
    make_flag("checkout", rollout=[{"variant": "treatment", "percent": 100}])
    secret = key().secret
    service = Service("go-grpc")
    try:
        with Served() as served:
            options = {"grpc": f"127.0.0.1:{served.port}", "startWaitSeconds": 90, "connectSeconds": 60}
            # An exposure of the next window would be one more.
            options["flushSeconds"] = 3600
            made = Client(service, "http://127.0.0.1:9", secret, options)
            yield made
            made.forget()
    finally:
        service.close()


def test_client__a_kill_events_and_a_revoked_key__are_as_over_http(client, environment):
    assert client.ready(90) == "network"
    assert client.value("checkout") is True
    eventually(lambda: client.status()["connection"] == "streaming", what="the stream is open")

    services.kill_flag(actor=ALICE, environment=environment, key="checkout")
    eventually(lambda: client.value("checkout") is False, what="the kill is heard")

    # More than a packet has room for.
    for number in range(100):
        client.track("purchase", value=9.5 + number)
    assert client.flush(60)
    status = client.status()
    # Exposures of both variants, and the conversions.
    assert (status["eventsSent"], status["eventsRejected"]) == (102, 0)

    credential = Credential.objects.get(kind="server")
    tenancy.revoke_credential(actor=ALICE, credential=credential)
    eventually(lambda: "401" in (client.status()["error"] or ""), what="the refusal is said")
    assert client.value("checkout") is False


def test_generated__made_again__is_the_same(tmp_path):
    golang.generate(tmp_path)

    made = (tmp_path / "flagship.pb.go").read_text()
    assert made == (golang.GENERATED / "flagship.pb.go").read_text(), "run make proto"
