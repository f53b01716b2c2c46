"""Edge credentials: one for several environments, each of which it may read; what an edge is told of their keys."""

import hashlib

import pytest

from audit.models import Entry
from tenancy import services
from tenancy.authentication.edges import edge_configuration
from tenancy.authentication.keyring import KEYRING, Keyring
from tenancy.errors import Conflict, Invalid
from tenancy.testing import ALICE, Caller


@pytest.fixture
def staging(environment):
    return services.create_environment(actor=ALICE, project=environment.project, key="staging", name="Staging")


def _edge(*environments):
    issued = services.issue_credential(
        actor=ALICE,
        kind="edge",
        name="an edge",
        organization=environments[0].project.organization,
        environments=environments,
    )
    KEYRING.refresh()
    return issued


def test_edge_credential__reads_the_environments_it_names_and_no_other(environment, staging):
    secret = _edge(environment).secret

    whole, scoped = KEYRING.find(secret), KEYRING.find(f"{secret}~web/production")
    assert (whole.environment_id, whole.reads_rules) == (None, False)
    assert (scoped.environment_id, scoped.reads_rules) == (environment.pk, True)
    for wrong in ("~web/staging", "~", "~web", "~web/production~web/production", "~/", "x"):
        assert KEYRING.find(secret + wrong) is None
    again = Keyring()
    again.restore(1, KEYRING.dump())
    assert again.find(f"{secret}~web/production").environment_id == environment.pk


def test_edge_credential__environment_is_taken_away__is_held_no_longer(environment, staging):
    issued = _edge(environment, staging)
    scoped = KEYRING.find(f"{issued.secret}~web/staging")
    assert KEYRING.holds(scoped)

    services.change_edge_environments(actor=ALICE, credential=issued.credential, remove=[staging])
    KEYRING.refresh()

    assert not KEYRING.holds(scoped)
    assert KEYRING.find(f"{issued.secret}~web/staging") is None
    assert KEYRING.holds(KEYRING.find(f"{issued.secret}~web/production"))
    assert Entry.objects.get(action="credential.updated").after["environments"] == ["web/production"]
    with pytest.raises(Conflict):
        services.change_edge_environments(actor=ALICE, credential=issued.credential, remove=[environment])


def test_edge_configuration__names_keys_by_their_digest_and_the_edges_below(environment, staging, key):
    client, server, other = key("client"), key("server"), key("client", staging)
    below, beside = _edge(environment), _edge(staging, environment)

    told = edge_configuration(KEYRING.find(below.secret))

    assert (told["organization"], told["revision"]) == ("acme", KEYRING.revision)
    (only,) = told["environments"]
    assert only["name"] == "web/production"
    assert {one["digest"] for one in only["keys"]} == {
        hashlib.sha256(made.secret.encode()).hexdigest() for made in (client, server)
    }
    assert [edge["environments"] for edge in told["edges"]] == [["web/production"]]
    both = edge_configuration(KEYRING.find(beside.secret))
    assert {one["name"] for one in both["environments"]} == {"web/production", "web/staging"}
    assert len(both["edges"]) == 2
    text = str(both)
    assert not any(made.secret in text for made in (client, server, other))


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"kind": "edge"}, "required"),
        ({"kind": "edge", "environments": []}, "required"),
        ({"kind": "edge", "environments": ["production"]}, "invalid"),
        ({"kind": "edge", "environments": ["web/"]}, "invalid"),
        ({"kind": "edge", "environments": ["web/production"], "environment": "production"}, "invalid"),
        ({"kind": "server", "environment": "production", "environments": ["web/production"]}, "invalid"),
        ({"kind": "edge", "environments": "web/production"}, "not_a_list"),
    ],
    ids=str,
)
def test_api__edge_credential_that_cannot_be__is_refused_by_field(admin, environment, given, code):
    response = admin.post("credentials", {"name": "an edge", **given})

    assert response.status_code == 400, response.content
    error = response.json()["errors"][0]
    assert (error["code"], error["attr"].partition(".")[0]) == (code, "environments")


def test_api__edge_credential__is_made_changed_and_read(admin, environment, staging, editor):
    made = admin.post("credentials", {"kind": "edge", "name": "an edge", "environments": ["web/production"]})
    assert made.status_code == 201, made.content
    secret, path = made.json()["secret"], f"credentials/{made.json()['id']}"
    assert made.json()["environments"] == ["web/production"]

    assert admin.put(f"{path}/environments/web/staging", None).json()["environments"] == [
        "web/production",
        "web/staging",
    ]
    assert admin.delete(f"{path}/environments/web/production").json()["environments"] == ["web/staging"]
    assert admin.delete(f"{path}/environments/web/staging").status_code == 409
    assert admin.put(f"{path}/environments/web/nothing", None).status_code == 404
    assert editor.put(f"{path}/environments/web/production", None).status_code == 404
    assert editor.post("credentials", {"kind": "edge", "name": "x", "environments": ["web/staging"]}).status_code == 403
    KEYRING.refresh()
    edge = Caller(secret)
    assert [one["name"] for one in edge.get("edge/configuration").json()["environments"]] == ["web/staging"]
    assert "X-FlagShip-Stream" in edge.get("edge/configuration").headers
    assert Caller(f"{secret}~web/staging").get("edge/configuration").status_code == 403
    assert edge.get("snapshot").status_code == 403
    assert edge.get("flags").status_code in {403, 404}


def test_service__edge_for_another_tenants_environment__is_refused(environment, globex):
    with pytest.raises(Invalid):
        services.issue_credential(
            actor=ALICE,
            kind="edge",
            name="x",
            organization=environment.project.organization,
            environments=[environment, globex],
        )


def test_environment__that_an_edge_serves__is_not_deleted(environment, staging):
    issued = _edge(environment, staging)
    with pytest.raises(Conflict):
        services.delete_environment(actor=ALICE, environment=staging)

    services.revoke_credential(actor=ALICE, credential=issued.credential)

    services.delete_environment(actor=ALICE, environment=staging)
