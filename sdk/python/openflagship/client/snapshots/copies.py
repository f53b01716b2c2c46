"""The form in which a store keeps a snapshot: with its signatures, and with a mark of the key it was fetched with."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Final

from openflagship.client.following.configuration import Proof, SnapshotError, check_signature, parse_snapshot
from openflagship.engine import CompiledEnvironment

FORMAT: Final = "openflagship-snapshot-1"


@dataclass(frozen=True, slots=True)
class Copy:
    """A kept snapshot that may be used. `confirmed_at` is a Unix time; None where it was not kept."""

    environment: CompiledEnvironment = field(repr=False)
    confirmed_at: float | None
    proof: Proof | None

    def age_seconds(self, stored_for: float) -> float:
        """How old the configuration is; `stored_for` is how long the store has had it."""
        return stored_for if self.confirmed_at is None else max(stored_for, time.time() - self.confirmed_at)


def write_copy(text: str, proof: Proof | None, fingerprint: str, confirmed_at: float | None) -> bytes:
    """`text` is the snapshot; the very bytes that were signed where there is a proof."""
    kept = {
        "format": FORMAT,
        "key": fingerprint,
        "confirmedAt": confirmed_at,
        "signatures": [] if proof is None else list(proof.signatures),
        "snapshot": text if proof is None else proof.body.decode(),
    }
    return json.dumps(kept, ensure_ascii=False).encode()


def read_copy(content: bytes, secret: str | None, fingerprint: str) -> Copy:
    """Raises SnapshotError for a copy that is of another key's environment, altered, or of a form not known.

    A bare snapshot, such as one that `flagship snapshot save` wrote, will do where no signature is asked for.
    """
    kept = _kept(content)
    if kept is None:
        if secret is not None:
            raise SnapshotError("the kept copy bears no signature")
        return Copy(parse_snapshot(content), None, None)
    body, signatures, key, confirmed_at = (kept.get(name) for name in ("snapshot", "signatures", "key", "confirmedAt"))
    if not isinstance(body, str) or not isinstance(signatures, list):
        raise SnapshotError("the kept copy is of a form that is not known")
    if fingerprint and key and key != fingerprint:
        raise SnapshotError("the kept copy was fetched with another key, so it may be another environment's")
    proof = None
    if secret is not None:
        proof = Proof(body.encode(), tuple(str(signature) for signature in signatures))
        check_signature(proof.body, secret, *proof.signatures)
    at = float(confirmed_at) if isinstance(confirmed_at, (int, float)) else None
    return Copy(parse_snapshot(body), at, proof)


def _kept(content: bytes) -> dict[str, object] | None:
    """The copy's members; None for what is not of this form."""
    # A look at the head spares reading a large bare snapshot twice.
    if FORMAT.encode() not in content[:200]:
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SnapshotError("the kept copy is no JSON") from error
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None
