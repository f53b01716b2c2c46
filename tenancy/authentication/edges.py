"""What an edge serves: its environments, and who may call it there. It comes from memory and asks no server."""

from collections.abc import Iterable

from openflagship.wire.credentials import EdgeConfiguration, EdgeKey

from tenancy.authentication.keyring import KEYRING, Key

_CALLERS = {"server", "client"}


def edge_configuration(key: Key) -> EdgeConfiguration:
    """The configuration for the edge with this credential, at the keyring's present revision.

    It includes the edges that serve none but these environments, because they may follow this one.
    """
    # Read first: where the keys change meanwhile, the next revision brings them again.
    revision, live = KEYRING.revision, list(KEYRING.live_keys())
    callers: dict[int, list[Key]] = {}
    for caller in live:
        if caller.kind in _CALLERS and caller.environment_id is not None:
            callers.setdefault(caller.environment_id, []).append(caller)
    mine = dict(key.environments)
    edges = [one for one in live if one.environments and mine.keys() >= dict(one.environments).keys()]
    return {
        "organization": key.organization_slug,
        "revision": revision,
        "environments": [
            {"name": name, "keys": [_told(caller) for caller in _in_order(callers.get(pk, ()))]}
            for pk, name in key.environments
        ],
        "edges": [
            {**_told(edge), "environments": [name for _, name in edge.environments]} for edge in _in_order(edges)
        ],
    }


def _in_order(keys: Iterable[Key]) -> list[Key]:
    return sorted(keys, key=lambda key: key.prefix)


def _told(key: Key) -> EdgeKey:
    return {"prefix": key.prefix, "kind": key.kind, "digest": key.digest.hex(), "expiresAt": key.expires_at}
