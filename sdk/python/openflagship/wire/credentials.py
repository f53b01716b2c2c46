"""How a credential is presented, and what a caller is told whose credential is not enough."""

from __future__ import annotations

from typing import Final, TypedDict

from openflagship.wire.errors import RefusedError

# Between an edge credential and the environment that a request is about: `fs_edge_…~project/environment`.
EDGE_SCOPE: Final = "~"
EDGE_EVENT: Final = "edge_configuration"
NEEDS_EDGE_CREDENTIAL: Final = "This route needs an edge credential, as it is, without an environment behind it."
NO_CREDENTIAL: Final = "Authentication credentials were not provided."
HOW_TO_SEND: Final = "Send `Authorization: Bearer fs_…`: a server or client key, a management token or a JWT."
UNKNOWN_CREDENTIAL: Final = (
    "The credential is unknown, expired or revoked. Send `Authorization: Bearer fs_…` with a live one."
)
NEEDS_SERVER_KEY: Final = "This route needs a server key of one environment."
NEEDS_ENVIRONMENT_KEY: Final = "This route needs a server key or a client key of one environment."
FOREIGN_TENANT: Final = "X-Tenant-ID names another organization than the credential belongs to."
UNKNOWN_EVENT_STREAM: Final = "The token is unknown or too old. A bulk evaluation names a stream with a new one."
NOT_READY: Final = "This process has not heard of the environment's configuration yet."


def presented_secret(authorization: str, api_key: str = "") -> str | None:
    """The bearer secret of an Authorization (or X-API-Key) header; None where none was sent."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer" and rest:
        return rest.strip()
    return api_key or None


def unauthenticated(secret: str | None) -> RefusedError:
    """The refusal of a secret that no key has, or of a request without one."""
    if secret is None:
        return RefusedError(401, f"{NO_CREDENTIAL} {HOW_TO_SEND}", code="not_authenticated")
    return RefusedError(401, UNKNOWN_CREDENTIAL)


def check_tenant(named: str | None, organization: str) -> None:
    """Refuse an `X-Tenant-ID` that names another organization than the credential's. Raises RefusedError."""
    if named is not None and named != organization:
        raise RefusedError(403, FOREIGN_TENANT)


def check_environment(named: str, environment_key: str) -> None:
    """Refuse a path that names another environment than the credential's. Raises RefusedError."""
    if named and named != environment_key:
        raise RefusedError(404, unknown_environment(named))


def unknown_environment(named: str) -> str:
    return f"There is no environment {named!r}, or it belongs to another tenant."


class EdgeKey(TypedDict):
    """A key that an edge takes: its public prefix and the SHA-256 of the secret, in hexadecimal."""

    prefix: str
    kind: str
    digest: str
    expiresAt: float | None


class EdgeEnvironmentConfiguration(TypedDict):
    """One environment on an edge. `name` is `project/environment`."""

    name: str
    keys: list[EdgeKey]


class FurtherEdge(EdgeKey):
    """Another edge that may follow this one, and the environments that it serves."""

    environments: list[str]


class EdgeConfiguration(TypedDict):
    """What an edge serves. `revision` grows with each change of a credential."""

    organization: str
    revision: int
    environments: list[EdgeEnvironmentConfiguration]
    edges: list[FurtherEdge]
