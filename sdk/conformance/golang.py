"""The Go SDK's test services as built programs, and the Go code that is made of `proto/`."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SDK: Final = ROOT / "sdk" / "go"
GRPC: Final = SDK / "grpctransport"
GENERATED: Final = GRPC / "internal" / "v1"
PROGRAM: Final = ROOT / "var" / "go" / "conformance"
GRPC_PROGRAM: Final = PROGRAM.with_name("conformance-grpc")
_SERVICE: Final = "openflagship/v1/flagship.proto"
_PACKAGE: Final = "openflagship/grpctransport/internal/v1"


@cache
def build() -> None:
    """Build what is out of date. Raises where that fails. Processes wait for one another."""
    _build(SDK, PROGRAM)


@cache
def build_grpc() -> None:
    """The same, of the service over gRPC."""
    _build(GRPC, GRPC_PROGRAM)


def _build(module: Path, program: Path) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    with program.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        _go(module, "build", "-buildvcs=false", "-o", str(program), "./internal/conformance")


def generate(target: Path) -> None:
    """Write the messages of FlagShip's own service. Raises where the compiler refuses the file."""
    from grpc_tools import protoc  # noqa: PLC0415 - nothing but this needs the compiler

    plugin = _go(GRPC, "tool", "-n", "protoc-gen-go").strip()
    own = Path(protoc.__file__).parent / "_proto"
    options = f"--go_opt=module={_PACKAGE},M{_SERVICE}={_PACKAGE};v1"
    arguments = [f"--plugin=protoc-gen-go={plugin}", f"--go_out={target}", options, _SERVICE]
    if protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"-I{own}", *arguments]) != 0:
        raise RuntimeError("protoc refuses a file; it says above which.")


def _go(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["go", *arguments], cwd=folder, check=False, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"the Go SDK: go {arguments[0]} fails: {done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else GENERATED)
