"""The stream of an edge's configuration: whole at the start, again with each change, and no longer once revoked."""

import hashlib

import pytest

from flags.propagation.runtime import RUNTIME
from flags.testing.streams import eventually
from tenancy import services
from tenancy.authentication.keyring import KEYRING
from tenancy.models import Credential
from tenancy.testing import ALICE


@pytest.fixture
def edge(transactional_db, environment, make_flag):
    make_flag("a")
    return services.issue_credential(
        actor=ALICE,
        kind="edge",
        name="an edge",
        organization=environment.project.organization,
        environments=[environment],
    )


def _digests(event):
    (only,) = event.data["environments"]
    return {one["digest"] for one in only["keys"]}


def test_edge_stream__tells_all_at_the_start_and_with_each_change_of_a_key(environment, edge, key, listen):
    stream = listen(edge.secret, path="/api/edge/stream")

    first = stream.next_event()
    assert (first.event, first.data["environments"]) == ("edge_configuration", [{"name": "web/production", "keys": []}])
    made = key("client")
    assert _digests(stream.next_event()) == {hashlib.sha256(made.secret.encode()).hexdigest()}
    services.revoke_credential(actor=ALICE, credential=Credential.objects.get(kind="client"))
    again = stream.next_event()
    assert (_digests(again), again.id > first.id) == (set(), True)

    services.revoke_credential(actor=ALICE, credential=edge.credential)
    while stream.next() is not None:
        pass
    eventually(lambda: KEYRING.find(edge.secret) is None)
    assert listen(edge.secret, path="/api/edge/stream").status == 401


def test_edge_stream__keys_of_others_change__has_keep_alives_all_the_same(environment, edge, settings, listen):
    settings.STREAM_KEEP_ALIVE_SECONDS = 3_600
    other = services.create_environment(actor=ALICE, project=environment.project, key="other", name="Other")
    KEYRING.refresh()
    stream = listen(edge.secret, path="/api/edge/stream")
    stream.next_event()

    organization = environment.project.organization
    services.issue_credential(actor=ALICE, kind="client", name="another", organization=organization, environment=other)
    KEYRING.refresh()

    assert stream.next().comment.startswith("keep-alive")


def test_edge_credential__follows_each_of_its_environments_until_it_names_it_no_longer(environment, edge, key, listen):
    other = services.create_environment(actor=ALICE, project=environment.project, key="other", name="Other")
    services.change_edge_environments(actor=ALICE, credential=edge.credential, add=[other])
    RUNTIME.refresh()
    stream = listen(f"{edge.secret}~web/production")
    assert stream.next_event().data["flags"].keys() == {"a"}
    assert listen(f"{edge.secret}~web/nothing").status == 401
    assert listen(edge.secret).status == 403
    assert listen(f"{edge.secret}~web/production", path="/api/edge/stream").status == 403
    assert listen(key().secret, path="/v1/edge/stream").status == 403

    services.change_edge_environments(actor=ALICE, credential=edge.credential, remove=[environment])

    while stream.next() is not None:
        pass
