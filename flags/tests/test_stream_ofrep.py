"""OFREP's event stream: a bulk evaluation names it, its token stands for the credential; it says when, never what."""

from urllib.parse import urlsplit

import orjson
import pytest
from django.test import Client
from openflagship.wire import ofrep_tokens

from flags import services
from flags.propagation.runtime import RUNTIME
from flags.streaming import ofrep
from flags.testing.streams import eventually
from tenancy import services as tenancy
from tenancy.models import Credential
from tenancy.testing import ALICE

REFETCH = {"type": "refetchEvaluation"}


@pytest.fixture
def issued(transactional_db, environment, make_flag, key):
    make_flag("a", metadata={"secret": "rule"})
    return key("client")


def _address(secret):
    """Path and query of the stream that a bulk evaluation names."""
    response = Client().post(
        "/ofrep/v1/evaluate/flags",
        orjson.dumps({"context": {"targetingKey": "u"}}),
        content_type="application/json",
        headers={"Authorization": f"Bearer {secret}"},
    )
    (stream,) = response.json()["eventStreams"]
    assert stream["type"] == "sse"
    parts = urlsplit(stream["url"])
    assert secret not in stream["url"]
    return f"{parts.path}?{parts.query}"


def _change(environment, number):
    payload = {"metadata": {"n": str(number)}}
    services.update_flag(actor=ALICE, environment=environment, key="a", payload=payload, version=None)


def _told(stream):
    """The next message, past comments and the retry line."""
    while (found := stream.next()) is not None:
        if found.data is not None:
            return found
    return None


def test_stream__change_after_a_bulk_evaluation__says_refetch_and_nothing_of_the_rules(issued, environment, listen):
    stream = listen("", path=_address(issued.secret))
    assert stream.status == 200
    assert stream.response.headers["Access-Control-Allow-Origin"] == "*"

    _change(environment, 1)
    told = _told(stream)

    assert (told.event, told.id, told.data) == ("", 2, REFETCH)


def test_stream__last_event_id__says_refetch_only_where_something_was_missed(issued, environment, listen):
    path = _address(issued.secret)
    _change(environment, 1)
    eventually(lambda: RUNTIME.environments[environment.pk].version >= 2)

    assert _told(listen("", path=path, last=1)).id == 2
    current = listen("", path=path, last=2)
    _change(environment, 2)
    assert _told(current).id == 3


@pytest.mark.parametrize("token", ["", "junk", "fs_client_aaaaaaaa"])
def test_stream__token_that_nobody_signed__is_401(issued, listen, token):
    assert listen("", path=f"{ofrep.PATH}?token={token}").status == 401


def test_stream__token_too_old__is_401(issued, listen, monkeypatch):
    monkeypatch.setattr(ofrep_tokens, "TOKEN_SECONDS", -1)

    assert listen("", path=_address(issued.secret)).status == 401


def test_stream__credential_revoked__ends_it_and_its_token(issued, listen):
    path = _address(issued.secret)
    stream = listen("", path=path)
    assert stream.status == 200

    tenancy.revoke_credential(actor=ALICE, credential=Credential.objects.get())

    assert _told(stream) is None
    assert listen("", path=path).status == 401


def test_token__of_another_purpose__is_none(issued, settings):
    token = ofrep_tokens.make_token(Credential.objects.get().prefix, settings.SECRET_KEY)
    assert ofrep.key_of(token) is None


def test_stream__change_between_the_answer_and_the_stream__is_told(issued, environment, listen):
    path = _address(issued.secret)
    _change(environment, 1)
    eventually(lambda: RUNTIME.environments[environment.pk].version >= 2)

    assert _told(listen("", path=path)).id == 2


def test_stream__silence__is_broken_by_an_event_that_pages_hear(issued, settings, listen):
    settings.STREAM_KEEP_ALIVE_SECONDS = 0.1

    told = listen("", path=_address(issued.secret)).next_event()

    assert (told.event, told.data) == ("keep-alive", {})
