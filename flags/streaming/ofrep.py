"""OFREP's event stream: tells that an evaluation should be fetched again, and nothing of what has changed.

EventSource sends no headers, so its URL holds a token: signed, good for an hour, and no longer than its credential.
"""

import time
from collections.abc import Sequence
from urllib.parse import parse_qs

from django.conf import settings
from django.core import signing

from flags.streaming.stream_events import StreamEvent
from tenancy.keyring import KEYRING, Key
from tenancy.process_memory import on_reset

PATH = "/ofrep/v1/stream"
TOKEN_SECONDS = 3600
_RENEW_SECONDS = 300
_SALT = "flagship.ofrep.stream"
# By credential: when its URL was made, and the URL; signing costs more than a bulk evaluation of fifty flags.
_made: dict[str, tuple[float, str]] = {}
on_reset(_made.clear)


def url_for(credential: str) -> str:
    """The stream's address for the caller with this credential (its public prefix)."""
    now = time.monotonic()
    found = _made.get(credential)
    if found is None or now - found[0] > _RENEW_SECONDS:
        token = signing.dumps(credential, salt=_SALT)
        found = _made[credential] = (now, f"{settings.STREAM_URL}{PATH}?token={token}")
    return found[1]


def key_of(query: bytes) -> Key | None:
    """The live credential a token in the query string was made for."""
    token = parse_qs(query.decode("latin-1")).get("token", [""])[0]
    try:
        prefix = signing.loads(token, salt=_SALT, max_age=TOKEN_SECONDS)
    except signing.BadSignature:
        return None
    return KEYRING.find_prefix(prefix)


def content_of(events: Sequence[StreamEvent]) -> bytes:
    """However many changes there were, one message: unnamed, because the clients hear no named ones."""
    if not events:
        return b""
    told = [event.version for event in events if not event.is_ahead]
    head = b"id: %d\n" % told[-1] if told else b""
    return head + b'data: {"type":"refetchEvaluation"}\n\n'
