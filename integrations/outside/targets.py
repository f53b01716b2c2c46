"""An address as a person enters it, and what is wrong with it. Nothing is asked of the network here."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

MOST_CHARACTERS: Final = 2000
_PORTS: Final = {"http": 80, "https": 443}


class BadTargetError(ValueError):
    """The text is no address that may be called; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes. `host` is as DNS and TLS have it, `authority` as the Host header has it."""

    scheme: str
    host: str
    port: int
    path: str
    authority: str


def read_target(url: str) -> Target:
    """Raises BadTargetError."""
    if len(url) > MOST_CHARACTERS:
        raise BadTargetError(f"An address has at most {MOST_CHARACTERS:,} characters.")
    if any(ord(character) <= ord(" ") or character in "\\\x7f" for character in url):
        raise BadTargetError("An address has no blanks, line breaks or backslashes.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadTargetError(f"This is no address: {error}.") from error
    if parts.scheme not in _PORTS:
        raise BadTargetError("Begin with https:// (or http:// where nothing else will do).")
    if "@" in parts.netloc:
        raise BadTargetError("Leave the name and password out of the address; the signature says who is calling.")
    if parts.fragment or "#" in url:
        raise BadTargetError("Leave out what follows the #; no server is sent it.")
    if port == 0:
        raise BadTargetError("Port 0 is no port.")
    host = _host(parts)
    shown = f"[{host}]" if ":" in host else host
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise BadTargetError("Percent-encode the characters of the path that are not ASCII.")
    usual = _PORTS[parts.scheme]
    return Target(parts.scheme, host, port or usual, path, shown if port in {None, usual} else f"{shown}:{port}")


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if "%" in host:
        raise BadTargetError("The name of the host has a percent sign.")
    try:
        # Python's codec also turns wide and circled digits into plain ones, as resolvers do.
        found = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError as error:
        raise BadTargetError("The name of the host is no name that DNS knows.") from error
    if not found.strip("."):
        raise BadTargetError("Name the host, as in https://example.com/hook.")
    return found
