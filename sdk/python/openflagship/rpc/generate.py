"""`python -m openflagship.rpc.generate PROTO TARGET`: Python code for the services in `proto/`, by grpcio-tools."""

from __future__ import annotations

import sys
from pathlib import Path

HEADER = '"""Made from `proto/` by `make proto`; a test compares."""\n'


def generate(proto: Path, target: Path) -> None:
    """Write the code of every file in `proto` under `target`. Raises RuntimeError where the compiler refuses one."""
    import grpc_tools  # noqa: PLC0415 - nothing but this needs the compiler
    from grpc_tools import protoc  # noqa: PLC0415 - likewise

    own = Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(proto.rglob("*.proto"))
    arguments = ["protoc", f"-I{proto}", f"-I{own}", f"--python_out={target}", f"--pyi_out={target}", *map(str, files)]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc refuses a file; it says above which.")
    for file in files:
        for folder in file.relative_to(proto).parents:
            (target / folder / "__init__.py").write_text(HEADER)


if __name__ == "__main__":
    generate(Path(sys.argv[1]), Path(sys.argv[2]))
