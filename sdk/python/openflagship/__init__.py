"""FlagShip for Python: the evaluation engine, and the SDK around it."""

from typing import TYPE_CHECKING, Any

from openflagship.version import __version__

if TYPE_CHECKING:
    from openflagship.client import AsyncFlagShip, Context, FlagShip, Options, Status
    from openflagship.engine import Answer

__all__ = ["Answer", "AsyncFlagShip", "Context", "FlagShip", "Options", "Status", "__version__"]


def __getattr__(name: str) -> Any:
    # The engine alone is also used by servers, which have no need of the client's ssl and sockets.
    if name == "Answer":
        from openflagship.engine import Answer  # noqa: PLC0415 - loaded at first use, see above

        return Answer
    if name in __all__:
        from openflagship import client  # noqa: PLC0415 - loaded at first use, see above

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
