"""Where an edge serves gRPC, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from openflagship.edge.settings.variables import check_authorities, naming

_ADDRESSES: Final = "FLAGSHIP_EDGE_GRPC"
_CONNECT: Final = "connect:"
_MOST_DIGITS: Final = 5
_FILES: Final = ("FLAGSHIP_EDGE_TLS_CERTIFICATE", "FLAGSHIP_EDGE_TLS_KEY", "FLAGSHIP_EDGE_GRPC_CLIENT_CA")


@dataclass(frozen=True, slots=True)
class GrpcAddress:
    """`text` is `host:port` or `unix:/path`. `environment` is the name of the one that is served there, if any.

    Where it `is_connect`, the Connect protocol is spoken there in place of gRPC.
    """

    text: str
    environment: str = ""
    is_connect: bool = False

    @property
    def is_unix(self) -> bool:
        return self.text.startswith("unix:")

    @property
    def host(self) -> str:
        return self.text.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.text.rpartition(":")[2])

    @property
    def is_local(self) -> bool:
        """Whether nobody can call it from another machine."""
        if self.is_unix:
            return True
        host = self.host
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpcSettings:
    """With a certificate, TCP addresses speak TLS; with a `client_ca` callers need a certificate of that authority."""

    addresses: tuple[GrpcAddress, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None

    def shared(self) -> list[tuple[str, int]]:
        """Host and port of each address on which several processes of this edge would serve."""
        return [(one.host, one.port) for one in self.addresses if not one.is_unix]

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> GrpcSettings:
        """Raises ValueError naming the variable."""
        addresses = tuple(_address(text.strip()) for text in environ.get(_ADDRESSES, "").split(",") if text.strip())
        if not addresses:
            return cls()
        given = [Path(environ[name]) if environ.get(name) else None for name in _FILES]
        for name, path in zip(_FILES, given, strict=True):
            if path is not None and not path.is_file():
                raise ValueError(f"{name}: there is no file {path}.")
        certificate, key, client_ca = given
        if client_ca is not None and certificate is None:
            raise ValueError("FLAGSHIP_EDGE_GRPC_CLIENT_CA needs FLAGSHIP_EDGE_TLS_CERTIFICATE beside it.")
        if client_ca is not None:
            with naming("FLAGSHIP_EDGE_GRPC_CLIENT_CA"):
                check_authorities(str(client_ca))
        # The key may stand in the certificate's file, as for HTTP.
        return cls(addresses=addresses, certificate=certificate, key=key or certificate, client_ca=client_ca)


def _address(text: str) -> GrpcAddress:
    name, mark, rest = text.rpartition("=")
    address = rest.removeprefix(_CONNECT)
    found = GrpcAddress(address, name, is_connect=address != rest)
    port = address.rpartition(":")[2]
    is_right = bool(name) if mark else True
    is_socket = address.startswith("unix:/") and not found.is_connect
    is_port = port.isascii() and port.isdigit() and len(port) <= _MOST_DIGITS and int(port) <= 65_535
    if not is_right or not (is_socket or (found.host and is_port)):
        raise ValueError(
            f"{_ADDRESSES}: {text!r} is no address. Give host:port or unix:/path, or connect:host:port for flagd's "
            "provider for Go; by commas, each after the name of its environment where there are several: "
            "web/production=127.0.0.1:8013."
        )
    return found
