"""The HMAC-SHA256 signature of an environment's snapshots, with two secrets valid at once while they are rotated.

A secret is derived from SECRET_KEY, the environment and a generation number. So a copy of the database is not enough to
forge a signature, and a secret reveals nothing about the secrets before it.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from django.conf import settings

from flags.models import SnapshotSigning
from tenancy.process_memory import on_reset


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The secret of one generation, as the verifying side has it."""

    generation: int
    secret: str

    def sign(self, body: bytes) -> str:
        """The value of `X-Signature` for these bytes. The key of the HMAC is the text of the secret."""
        return "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()


def signing_key(environment_id: int, generation: int) -> SigningKey:
    text = f"flagship.snapshot:{environment_id}:{generation}"
    digest = hmac.digest(settings.SECRET_KEY.encode(), text.encode(), "sha256")
    return SigningKey(generation, "fs_sign_" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode())


class SigningRing:
    """The valid generations in memory: an immutable dict that `refresh` replaces as a whole."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._generations: dict[int, tuple[int, ...]] = {}

    def keys(self, environment_id: int) -> tuple[SigningKey, ...]:
        """The valid keys: first the one in use, then the previous one while it is still valid."""
        generations = self._generations.get(environment_id, (1,))
        return tuple(signing_key(environment_id, generation) for generation in generations)

    def refresh(self) -> None:
        """Raises DatabaseError."""
        self.restore({row.environment_id: row.generations for row in SnapshotSigning.objects.all()})

    def dump(self) -> dict[str, list[int]]:
        """The generations as JSON holds them. They contain no secret."""
        return {str(pk): list(generations) for pk, generations in self._generations.items()}

    def restore(self, generations: dict[int, tuple[int, ...]]) -> None:
        self._generations = generations


SIGNING = SigningRing()
on_reset(SIGNING.reset)
