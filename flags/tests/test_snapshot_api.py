"""The snapshot route: canonical, signed, revalidated, compressed once, from memory, and for server keys alone."""

import gzip
import hashlib
import hmac

import orjson
import pytest
from structlog.testing import capture_logs

from audit.models import Entry
from flags import services
from flags.api import snapshot_views
from flags.propagation import snapshots
from flags.propagation.runtime import RUNTIME
from flags.services.signing import retire_previous_signing_key, rotate_signing_key
from flags.versions.loading import load_document
from tenancy.models import Environment
from tenancy.testing import ALICE


@pytest.fixture
def caller(environment, make_flag, key):
    """A server key's client; its process has just loaded one flag."""
    make_flag("a")
    made = key()
    RUNTIME.refresh()
    return made


def _signature(secret, body):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def test_snapshot__works(caller, environment, admin):
    response = caller.get("snapshot")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    document = orjson.loads(response.content)
    assert document == load_document(environment.pk)
    assert document["version"] == 1
    assert response.content == orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    secret = admin.get("environments/production/signing-keys").json()["keys"][0]["secret"]
    assert response.headers["X-Signature"] == _signature(secret, response.content)
    assert "X-Signature-Previous" not in response.headers
    assert caller.get("configs/production").content == response.content


def test_snapshot__tells_the_age_of_what_its_process_knows(caller):
    RUNTIME._confirmed_at -= 100

    etag = caller.get("snapshot").headers["ETag"]

    for response in (caller.get("snapshot"), caller.get("snapshot", headers={"If-None-Match": etag})):
        assert 100 <= int(response.headers["X-FlagShip-Age"]) < 160


def test_snapshot__asked_twice__is_encoded_once_and_asks_nobody(caller, monkeypatch, django_assert_num_queries):
    first = caller.get("snapshot").content
    monkeypatch.setattr(snapshots, "_make", None)

    with django_assert_num_queries(0):
        assert caller.get("snapshot").content == first


def test_snapshot__etag_is_current__is_304_until_something_changes(caller, environment):
    etag = caller.get("snapshot").headers["ETag"]
    assert etag.startswith('"1-')

    unchanged = caller.send("get", "snapshot", headers={"If-None-Match": f'"other", W/{etag}'})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)

    services.kill_flag(actor=ALICE, environment=environment, key="a")
    RUNTIME.refresh()
    changed = caller.send("get", "snapshot", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.json()["flags"]["a"]["killSwitchVariant"] == "control"


def test_snapshot__gzip_is_accepted__is_the_same_document_with_an_etag_of_its_own(caller):
    plain = caller.get("snapshot")

    packed = caller.send("get", "snapshot", headers={"Accept-Encoding": "br, gzip"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.content) == plain.content
    assert packed.headers["X-Signature"] == plain.headers["X-Signature"]
    assert packed.headers["ETag"] != plain.headers["ETag"]
    again = caller.send("get", "snapshot", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})
    assert again.status_code == 304


def test_snapshot__archived_flag__is_absent(caller, environment):
    services.archive_flag(actor=ALICE, environment=environment, key="a")
    RUNTIME.refresh()

    assert caller.get("snapshot").json()["flags"] == {}


def test_signing_keys__rotated__two_are_valid_until_the_first_is_retired(caller, environment, admin):
    (first,) = admin.get("environments/production/signing-keys").json()["keys"]

    second, still_first = admin.post("environments/production/signing-keys").json()["keys"]

    assert still_first == first
    assert second["secret"] != first["secret"]
    RUNTIME.refresh()
    both = caller.get("snapshot")
    assert both.headers["X-Signature"] == _signature(second["secret"], both.content)
    assert both.headers["X-Signature-Previous"] == _signature(first["secret"], both.content)

    assert admin.delete("environments/production/signing-keys").json()["keys"] == [second]
    RUNTIME.refresh()
    assert "X-Signature-Previous" not in caller.get("snapshot").headers
    assert list(Entry.objects.filter(entity_type="signing_key").values_list("action", flat=True).order_by("pk")) == [
        "signing_key.rotated",
        "signing_key.retired",
    ]


def test_signing_keys__retired_twice__leaves_one_row(environment):
    rotate_signing_key(actor=ALICE, environment=environment)
    for _ in range(2):
        retire_previous_signing_key(actor=ALICE, environment=environment)

    assert Entry.objects.filter(action="signing_key.retired").count() == 1


@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_signing_keys__not_an_admin__is_refused(editor, outsider, caller, method):
    assert editor.send(method, "environments/production/signing-keys").status_code == 403
    assert caller.send(method, "environments/production/signing-keys").status_code == 403
    # The outsider's own environment of that name is another one.
    if method == "get":
        theirs = outsider.get("environments/production/signing-keys").json()
        assert theirs["keys"][0]["secret"] != caller.secret


def test_snapshot__environments_differ__so_do_their_secrets(environment, staging, admin):
    secrets = {
        admin.get(f"environments/{name}/signing-keys").json()["keys"][0]["secret"] for name in ("production", "staging")
    }
    assert len(secrets) == 2


def test_snapshot__not_a_server_key__is_refused(caller, key, editor):
    assert key("client").get("snapshot").status_code == 403
    assert editor.get("snapshot").status_code == 403


def test_snapshot__another_environment_is_named__is_404(caller, staging):
    assert caller.get("configs/staging").status_code == 404


def test_snapshot__process_does_not_know_it_yet__is_503(caller):
    RUNTIME.environments = {}
    caller._client.raise_request_exception = False

    response = caller.get("snapshot")

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")


def test_acknowledgement__of_a_deleted_environment__is_no_server_error(caller, monkeypatch):
    # Another process has deleted it, and this one does not know yet.
    monkeypatch.setattr(snapshot_views.Environment, "objects", Environment.objects.none())

    assert caller.post("stream/ack", {"instance": "a", "version": 99}).status_code == 202


def test_snapshot__larger_than_five_megabytes__is_logged_once_and_served(caller, monkeypatch):
    monkeypatch.setattr(snapshots, "LARGE_BYTES", 10)
    with capture_logs() as logs:
        caller.get("snapshot")
        assert caller.get("snapshot").status_code == 200

    assert [entry["event"] for entry in logs].count("snapshot_large") == 1


def test_snapshot__any_answer__names_the_stream(caller, settings):
    settings.STREAM_URL = "https://stream.example.com"
    whole = caller.get("snapshot")
    unchanged = caller.send("get", "snapshot", headers={"If-None-Match": whole.headers["ETag"]})

    assert (whole.status_code, unchanged.status_code) == (200, 304)
    assert whole.headers["X-FlagShip-Stream"] == unchanged.headers["X-FlagShip-Stream"] == settings.STREAM_URL


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream", "application/xml", "nonsense"])
@pytest.mark.parametrize("path", ["stream", "stream/production"])
def test_stream_on_web__redirects_to_the_stream_process(client, settings, path, accept):
    settings.STREAM_URL = "https://stream.example.com"

    response = client.get(f"/api/{path}?x=1", headers={"accept": accept})

    assert response.status_code == 307
    assert response.headers["Location"] == f"https://stream.example.com/api/{path}?x=1"
