"""Tokens for the address of OFREP's event stream: EventSource sends no headers, so the URL has to prove the caller.

A token is signed, valid for an hour, and names its subject in the clear: never put a secret there.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Final

TOKEN_SECONDS: Final = 3_600


def make_token(subject: str, secret: str) -> str:
    """`subject` is a public name without a dot."""
    until = int(time.time()) + TOKEN_SECONDS
    return f"{subject}.{until}.{_signature(subject, until, secret)}"


def subject_of(token: str) -> str:
    """The subject that a token claims; `is_valid` tells whether it is true."""
    return token.partition(".")[0]


def is_valid(token: str, secret: str) -> bool:
    """Whether the token was signed with the secret and has not expired."""
    subject, _, rest = token.partition(".")
    until, _, signature = rest.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) <= 12) or int(until) < time.time():
        return False
    return hmac.compare_digest(signature.encode(), _signature(subject, int(until), secret).encode())


def _signature(subject: str, until: int, secret: str) -> str:
    signed = b"ofrep.stream.%s.%d" % (subject.encode(), until)
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()[:32]
