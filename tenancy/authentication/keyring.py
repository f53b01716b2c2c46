"""Every live credential, in memory. A look-up on the evaluate path needs no database, no Redis and no lock."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError
from openflagship.wire.credentials import EDGE_SCOPE

from tenancy import credentials
from tenancy.callers.limits import BUCKETS
from tenancy.models import Credential, KeyringRevision
from tenancy.process_memory import on_reset
from tenancy.services.credentials import write_last_used

log = structlog.get_logger(__name__)

# How often a process looks for credentials that it does not know.
MISSES_A_MINUTE = 600
# How often a process stores when its credentials were last used.
LAST_USED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Key:
    """What a request needs to know of its credential."""

    id: UUID
    kind: str
    prefix: str
    name: str
    digest: bytes
    organization_id: int
    organization_slug: str
    environment_id: int | None
    user_id: int | None
    expires_at: float | None
    # Of an edge credential: the ids of its environments, and their names as `project/environment`.
    environments: tuple[tuple[int, str], ...] = ()

    @property
    def reads_rules(self) -> bool:
        """Whether it may have an environment's snapshot and stream."""
        return self.environment_id is not None and self.kind in {"server", "edge"}

    def scoped(self, name: str) -> "Key | None":
        """An edge credential's key for one of its environments; None for any other."""
        found = next((pk for pk, named in self.environments if named == name), None)
        return None if found is None else replace(self, environment_id=found)


class Keyring:
    """The live credentials as an immutable dict. `refresh` replaces it whole, so readers take no lock."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._keys: dict[str, Key] = {}
        # Keys by the secret as sent, so that each secret is hashed once. It starts empty with each set of keys.
        self._found: dict[str, Key] = {}
        self.revision = -1
        self._refreshing = threading.Lock()
        self._observers: tuple[Callable[[], None], ...] = ()
        # For each prefix, its key and when it was last found.
        self._used: dict[str, tuple[Key, float]] = {}
        self._used_written_at = time.monotonic()

    def find(self, text: str) -> Key | None:
        """Return the key of a presented secret, or None when it is malformed, unknown, revoked, expired or wrong."""
        # Read before the keys: a refresh replaces the keys first, so no revoked key gets into the new `_found`.
        found = self._found
        key = found.get(text)
        if key is None:
            secret, _, scope = text.partition(EDGE_SCOPE)
            prefix = credentials.prefix_of(secret)
            key = self._keys.get(prefix) if prefix else None
            if key is None or not credentials.matches(secret, key.digest):
                return None
            if secret != text:
                key = key.scoped(scope)
                if key is None:
                    return None
            found[text] = key
        return self._live(key)

    def find_or_ask(self, text: str) -> Key | None:
        """As `find`, but a well-formed secret that is unknown is looked for in the database, if that knows more.

        So a credential works in every process as soon as it is made. Guesses cost a few queries a second at most.
        """
        found = self.find(text)
        if found is None and self.may_be_new(text) and self.has_news():
            found = self.find(text)
        return found

    def may_be_new(self, text: str) -> bool:
        """Whether it has the form of a secret, and is none of a credential that is known here."""
        secret, _, scope = text.partition(EDGE_SCOPE)
        prefix = credentials.prefix_of(secret)
        if prefix is None:
            return False
        known = self._keys.get(prefix)
        return known is None or (bool(scope) and known.scoped(scope) is None)

    def has_news(self) -> bool:
        """Load the credentials that were made since the last time. Asks the database; False where it is away."""
        if not BUCKETS.spend("keyring", MISSES_A_MINUTE)[0]:
            return False
        before = self.revision
        try:
            self.refresh()
        except (DatabaseError, InterfaceError) as error:
            log.warning("keyring_not_refreshed", error=type(error).__name__)
            return False
        return self.revision != before

    def find_prefix(self, prefix: str) -> Key | None:
        """Return the live key from which a JWT was derived. Its secret was checked when the JWT was made."""
        key = self._keys.get(prefix)
        return self._live(key) if key is not None else None

    def _live(self, key: Key) -> Key | None:
        now = time.time()
        if key.expires_at is not None and key.expires_at <= now:
            return None
        self._used[key.prefix] = (key, now)
        return key

    def holds(self, key: Key) -> bool:
        """Return whether a key that was found earlier is still live."""
        current = self.current(key)
        is_named = current is not None and key.kind == "edge" and key.environment_id in dict(current.environments)
        return current is not None and (is_named or key.environment_id == current.environment_id)

    def current(self, key: Key) -> Key | None:
        """A key that was found earlier as it is now; None where it is revoked or has expired."""
        current = self._keys.get(key.prefix)
        is_same = current is not None and current.id == key.id
        return current if is_same and not (key.expires_at and key.expires_at <= time.time()) else None

    def live_keys(self) -> Iterable[Key]:
        """Every credential that is not revoked; some may have expired."""
        return self._keys.values()

    def observe(self, observer: Callable[[], None]) -> None:
        """Call `observer` after every change from now on, from the thread that read it."""
        with self._refreshing:
            self._observers = (*self._observers, observer)

    def unobserve(self, observer: Callable[[], None]) -> None:
        with self._refreshing:
            self._observers = tuple(known for known in self._observers if known != observer)

    def refresh(self, *, revision: int | None = None) -> None:
        """Load the live credentials, unless `revision` (by default the database's) is loaded already.

        Once a minute it also writes when each credential was last used.
        """
        with self._refreshing:
            if self._used and time.monotonic() - self._used_written_at > LAST_USED_SECONDS:
                self._used_written_at = time.monotonic()
                write_last_used(self.take_used())
            current = current_revision() if revision is None else revision
            if current == self.revision:
                return
            rows = Credential.objects.filter(revoked_at__isnull=True).select_related("organization")
            named = _environments_of_edges(rows)
            self._keys = {
                row.prefix: Key(
                    id=row.pk,
                    kind=row.kind,
                    prefix=row.prefix,
                    name=row.name,
                    digest=bytes(row.secret_hash),
                    organization_id=row.organization_id,
                    organization_slug=row.organization.slug,
                    environment_id=row.environment_id,
                    user_id=row.user_id,
                    expires_at=row.expires_at.timestamp() if row.expires_at else None,
                    environments=named.get(row.pk, ()),
                )
                for row in rows
            }
            self._found = {}
            self.revision = current
        for observer in self._observers:
            observer()

    def dump(self) -> list[dict[str, Any]]:
        """Return every key as JSON values, for `restore` in a process that starts while the database is away."""
        return [{**asdict(key), "id": str(key.id), "digest": key.digest.hex()} for key in self._keys.values()]

    def restore(self, revision: int, dumped: list[dict[str, Any]]) -> None:
        """Take the keys that another process dumped at `revision`; the next `refresh` asks the database again."""
        keys = [_restored(row) for row in dumped]
        with self._refreshing:
            self._keys = {key.prefix: key for key in keys}
            self._found = {}
            self.revision = revision

    def after_fork(self) -> None:
        """Make a new lock in the child: a thread of the parent may have held the old one."""
        self._refreshing = threading.Lock()

    def take_used(self) -> dict[UUID, float]:
        """Return and forget when each credential was last used (Unix seconds), for one write now and then."""
        used, self._used = self._used, {}
        return {key.id: at for key, at in used.values()}


def _environments_of_edges(rows: Iterable[Credential]) -> dict[UUID, tuple[tuple[int, str], ...]]:
    edges = [row.pk for row in rows if row.kind == Credential.Kind.EDGE]
    if not edges:
        return {}
    found: dict[UUID, tuple[tuple[int, str], ...]] = {}
    links = Credential.environments.through.objects.filter(credential__in=edges)
    for pk, environment_id, project, key in links.order_by("environment_id").values_list(
        "credential_id", "environment_id", "environment__project__key", "environment__key"
    ):
        found[pk] = (*found.get(pk, ()), (environment_id, f"{project}/{key}"))
    return found


def _restored(row: dict[str, Any]) -> Key:
    # A process of the release before dumped no environments.
    named = tuple((pk, name) for pk, name in row.get("environments", ()))
    return Key(**{**row, "id": UUID(row["id"]), "digest": bytes.fromhex(row["digest"]), "environments": named})


def current_revision() -> int:
    return KeyringRevision.objects.values_list("value", flat=True).first() or 0


KEYRING = Keyring()
on_reset(KEYRING.reset)
os.register_at_fork(after_in_child=KEYRING.after_fork)
