"""The chain of hashes over the log: how a row is sealed, and what a later check can prove.

Each row's hash covers the row before it. It is keyed with a secret that the database does not have. So whoever can
write to the database alone can remove rows, but cannot alter one or make one up. A head, signed and kept outside the
database, tells how far a chain reached: it shows rows that were removed at the end, and a chain that is gone.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

import structlog
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from audit.models import Entry

log = structlog.get_logger(__name__)

_encoder = DjangoJSONEncoder()
# From here on a float has no fraction, and jsonb writes it out by its shortest decimal form.
_WHOLE_FLOATS = 2**53
_KEY_ID_CHARACTERS = 8
_MOST_BYTES_SHOWN = 2**20


@dataclass(frozen=True, slots=True)
class Key:
    """A secret of the chain; `id` is stored with each row that it sealed."""

    id: str
    secret: bytes


def keys() -> list[Key]:
    """The key of new rows first, then those of rows from before SECRET_KEY was changed."""
    former = (*settings.SECRET_KEY_FALLBACKS, *settings.AUDIT_FORMER_SECRET_KEYS)
    return [_key(secret) for secret in (settings.SECRET_KEY, *former)]


def _key(secret: str) -> Key:
    derived = salted_hmac("flagship.audit.chain", b"", secret=secret, algorithm="sha256").digest()
    return Key(hashlib.sha256(derived).hexdigest()[:_KEY_ID_CHARACTERS], derived)


def canonical(value: Any) -> str:
    """Return canonical JSON: each value has one spelling. Django's encoder writes instants, UUIDs and decimals."""
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), default=_encoder.default)


def _whole(value: Any) -> Any:
    """Turn whole floats into integers, because jsonb returns 1e16 as 10000000000000000."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value) if abs(value) < _WHOLE_FLOATS else int(Decimal(repr(value)))
    return value


def digest(entry: Entry, key: Key | None) -> str:
    """HMAC-SHA-256 over the previous row's hash and every field of this one; without a key, as of old, SHA-256."""
    content = [
        entry.organization_id,
        entry.position,
        entry.occurred_at.isoformat(timespec="microseconds"),
        entry.actor_kind,
        entry.actor_id,
        entry.actor_label,
        entry.credential,
        entry.request_id,
        entry.action,
        entry.entity_type,
        entry.entity_key,
        entry.project,
        entry.environment,
        entry.before,
        entry.after,
        entry.changes,
        entry.reason,
        entry.previous_hash,
    ]
    text = canonical(content).encode()
    return hashlib.sha256(text).hexdigest() if key is None else _sealed(key, text)


def _sealed(key: Key, text: bytes) -> str:
    return hmac.new(key.secret, text, hashlib.sha256).hexdigest()


# -- Heads -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain reached at a moment, signed."""

    organization_id: int | None
    position: int
    hash: str
    at: str
    key_id: str = ""
    signature: str = ""

    @property
    def text(self) -> bytes:
        return f"{self.organization_id}:{self.position}:{self.hash}:{self.at}".encode()

    @property
    def is_ours(self) -> bool:
        """Whether a key of ours signed it."""
        return any(
            key.id == self.key_id and hmac.compare_digest(_sealed(key, self.text), self.signature) for key in keys()
        )


def heads() -> list[Head]:
    """The present head of each chain."""
    key, now = keys()[0], timezone.now().isoformat(timespec="seconds")
    # Both descending: PostgreSQL walks the unique index backwards, and sorts nothing.
    last = Entry.objects.order_by("-organization_id", "-position").distinct("organization_id")
    found = []
    for row in last.only("organization_id", "position", "hash"):
        head = Head(row.organization_id, row.position, row.hash, now, key.id)
        found.append(Head(**{**asdict(head), "signature": _sealed(key, head.text)}))
    return found


def append_heads(path: Path) -> list[Head]:
    """Add to the file each head that is further than its last one there. Returns what was added.

    Each is logged first: logs usually go to another machine, and the file may refuse. A line that is no head of ours
    is passed over with a warning; `read_heads` refuses it when the log is verified.
    """
    known: dict[int | None, Head] = {}
    for number, line in enumerate(_lines(path), start=1):
        try:
            _keep_furthest(known, _head(path, number, line))
        except ValueError as error:
            log.warning("audit_head_unreadable", why=str(error))
    new = [head for head in heads() if _position(known.get(head.organization_id)) < head.position]
    for head in new:
        log.info("audit_head", **asdict(head))
    if new:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.write(end_of_torn_line(file))
            file.writelines(f"{json.dumps(asdict(head))}\n".encode() for head in new)
    return new


def end_of_torn_line(file: BinaryIO) -> bytes:
    """What must stand before the next line: a write that broke off left its line without an end."""
    if not file.seek(0, SEEK_END):
        return b""
    file.seek(-1, SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def _position(head: Head | None) -> int:
    return head.position if head is not None else 0


def read_heads(path: Path) -> dict[int | None, Head]:
    """The furthest head of each chain in a file. Raises ValueError for a line that no key of ours signed."""
    found: dict[int | None, Head] = {}
    for number, line in enumerate(_lines(path), start=1):
        _keep_furthest(found, _head(path, number, line))
    return found


def last_head(path: Path, organization_id: int | None) -> Head | None:
    """The last head of one chain that a key of ours signed, of the file's last megabyte: a page shows it.

    Raises OSError for a file that cannot be read, FileNotFoundError where there is none.
    """
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, SEEK_END) - _MOST_BYTES_SHOWN))
        lines = file.read().splitlines()
    named = f'"organization_id": {json.dumps(organization_id)},'.encode()
    for line in reversed(lines):
        if named not in line:
            continue
        with suppress(ValueError):
            head = _head(path, 0, line)
            if head.organization_id == organization_id:
                return head
    return None


def is_reached(head: Head) -> bool:
    """Whether the row that was signed is still there, as it was."""
    rows = Entry.objects.filter(organization_id=head.organization_id, position=head.position)
    return rows.filter(hash=head.hash).exists()


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _head(path: Path, number: int, line: bytes) -> Head:
    try:
        head = Head(**json.loads(line))
        is_ours = head.is_ours
    except (ValueError, TypeError) as error:
        raise ValueError(f"Line {number} of {path} is no head: {error}.") from error
    if not is_ours:
        raise ValueError(f"Line {number} of {path} is signed by no key that is known here.")
    return head


def _keep_furthest(found: dict[int | None, Head], head: Head) -> None:
    if _position(found.get(head.organization_id)) < head.position:
        found[head.organization_id] = head


# -- The check -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Broken:
    """A place where a chain does not hold. `entry_id` is None for rows that are not there."""

    entry_id: int | None
    position: int
    why: str


@dataclass(slots=True)
class Verified:
    """How many rows a chain has, how many of them are from before there were keys, and where it is broken."""

    rows: int = 0
    unkeyed: int = 0
    broken: list[Broken] = field(default_factory=list)


def verify(organization_id: int | None, head: Head | None = None) -> Verified:
    """Walk one chain from its first row to its last, and beyond each broken one. `head`: what it once reached."""
    known: Mapping[str, Key] = {key.id: key for key in keys()}
    found, previous_hash, expected = Verified(), "", 1
    rows = Entry.objects.filter(organization_id=organization_id).order_by("position")
    with transaction.atomic():
        for entry in rows.iterator(chunk_size=2000):
            if entry.position != expected:
                missing = f"{expected}" if entry.position == expected + 1 else f"{expected} to {entry.position - 1}"
                found.broken.append(Broken(entry.pk, entry.position, f"position {missing} is missing"))
            elif entry.previous_hash != previous_hash:
                found.broken.append(Broken(entry.pk, entry.position, "does not follow the row before it"))
            if why := _altered(entry, known, has_keyed=found.unkeyed < found.rows):
                found.broken.append(Broken(entry.pk, entry.position, why))
            if head is not None and entry.position == head.position and entry.hash != head.hash:
                found.broken.append(Broken(entry.pk, entry.position, f"is another row than on {head.at}"))
            found.rows += 1
            found.unkeyed += not entry.key_id
            previous_hash, expected = entry.hash, entry.position + 1
    if head is not None and expected <= head.position:
        why = f"the chain reached position {head.position} on {head.at}; rows at its end were removed"
        found.broken.append(Broken(None, head.position, why))
    return found


def _altered(entry: Entry, known: Mapping[str, Key], *, has_keyed: bool) -> str:
    if not entry.key_id:
        # Otherwise whoever has no key could go back to hashes that anybody can make.
        if has_keyed:
            return "has no key, and rows before it have one"
        return "" if digest(entry, None) == entry.hash else "its content was altered"
    key = known.get(entry.key_id)
    if key is None:
        return f"is sealed with the key {entry.key_id}, which is not here; name its secret in AUDIT_FORMER_SECRET_KEYS"
    return "" if hmac.compare_digest(digest(entry, key), entry.hash) else "its content was altered"


# -- Chains that must be there ---------------------------------------------------------------------------------------

_expected: list[Callable[[], Iterable[int]]] = []


def expect_chains(organization_ids: Callable[[], Iterable[int]]) -> None:
    """Register who knows which organizations there are: each must have a chain."""
    _expected.append(organization_ids)


def expected_chains() -> set[int]:
    return {organization_id for expected in _expected for organization_id in expected()}
