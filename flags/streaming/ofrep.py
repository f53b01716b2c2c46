"""OFREP's event stream: it tells that an evaluation should be fetched again, and nothing of what has changed."""

import time
from collections.abc import Sequence

from django.conf import settings
from django.utils.crypto import salted_hmac
from openflagship.wire import ofrep_tokens, routes, sse

from flags.streaming.stream_events import StreamEvent
from tenancy.authentication.keyring import KEYRING, Key
from tenancy.process_memory import on_reset

PATH = routes.OFREP_STREAM.paths[0]
_RENEW_SECONDS = 300
# By credential: when its URL was made, and the URL. Signing costs more than a bulk evaluation of fifty flags.
_made: dict[str, tuple[float, str]] = {}
on_reset(_made.clear)


def url_for(credential: str, version: int) -> str:
    """The stream's address for the caller with this credential (its public prefix). It stands for the credential.

    It also names the version that was answered, so that no change between the answer and the stream is missed.
    """
    now = time.monotonic()
    found = _made.get(credential)
    if found is None or now - found[0] > _RENEW_SECONDS:
        token = ofrep_tokens.make_token(credential, _signing_secret(settings.SECRET_KEY))
        found = _made[credential] = (now, f"{settings.STREAM_URL}{PATH}?token={token}")
    return f"{found[1]}&since={version}"


def key_of(token: str) -> Key | None:
    """The live credential for which the token was made."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    if not any(ofrep_tokens.is_valid(token, _signing_secret(secret)) for secret in secrets):
        return None
    return KEYRING.find_prefix(ofrep_tokens.subject_of(token))


def _signing_secret(secret: str | bytes) -> str:
    """A secret of this purpose alone, derived from one of Django's."""
    return salted_hmac("flagship.ofrep.stream", b"", secret=secret, algorithm="sha256").hexdigest()


def content_of(events: Sequence[StreamEvent]) -> bytes:
    """One message, however many changes there were."""
    if not events:
        return b""
    versions = [event.version for event in events if not event.is_ahead]
    return sse.refetch_event(versions[-1] if versions else None)
