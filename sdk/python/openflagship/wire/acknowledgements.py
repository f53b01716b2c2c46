"""The body of `POST stream/ack`: which version a service has applied."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from openflagship.wire.errors import RefusedError

MAX_BODY_BYTES: Final = 4_096
MAX_NAME_CHARACTERS: Final = 100


class Acknowledgement(NamedTuple):
    """`instance` names the service's process; `sdk` may be empty."""

    instance: str
    version: int
    sdk: str

    @property
    def answer(self) -> dict[str, Any]:
        """What the sender is told with status 202."""
        return {"instance": self.instance, "version": self.version}


def acknowledgement_of(message: Any) -> Acknowledgement:
    """Check a parsed body. Raises RefusedError."""
    if not isinstance(message, dict):
        raise RefusedError(400, "Send a JSON object {instance, version}.")
    instance, version, sdk = message.get("instance"), message.get("version"), message.get("sdk", "")
    if not isinstance(instance, str) or not 0 < len(instance) <= MAX_NAME_CHARACTERS:
        raise RefusedError(400, "Name the instance: 1 to 100 characters, such as host and process id.")
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version < 2**53:
        raise RefusedError(400, "Send the version that is applied, as a whole number.")
    if not isinstance(sdk, str) or len(sdk) > MAX_NAME_CHARACTERS:
        raise RefusedError(400, "Name the SDK in at most 100 characters.")
    return Acknowledgement(instance, version, sdk)
