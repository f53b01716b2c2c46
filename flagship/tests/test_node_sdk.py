"""The SDKs for Node and the browser: their own tests by Node's runner, their types, parity with the Python engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from openflagship.generate import generate

from flagship.tests.generated_pairs import write_pairs
from sdk.conformance.javascript import SDK, build

pytestmark = pytest.mark.node

# `NODE_PARITY_PAIRS=20000 pytest flagship/tests/test_node_sdk.py -k parity` before a release.
PAIRS = int(os.environ.get("NODE_PARITY_PAIRS", "2000"))


def _run(*command: str, folder: Path = SDK) -> str:
    build()
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    return done.stdout


def test_sdks__their_own_tests__pass() -> None:
    _run("npm", "test", "--silent")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the SDKs as they are published: built there with their types, since others run what is built here."""
    build()
    folder = tmp_path_factory.mktemp("packed") / "sdk"
    for name in ("node", "web"):
        shutil.copytree(SDK / name, folder / name, ignore=shutil.ignore_patterns("dist", "node_modules"))
        done = subprocess.run(
            ["node", "build.mjs", "--types"], cwd=_linked(folder) / name, check=False, capture_output=True, text=True
        )
        # Types are strict: what does not hold fails here.
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _linked(folder: Path) -> Path:
    link = folder / "node_modules"
    if not link.exists():
        link.symlink_to(SDK / "node_modules")
    return folder


@pytest.mark.parametrize("name", ["node", "web"])
def test_package__as_it_is_published__is_found_by_every_importer(packed: Path, name: str) -> None:
    """`publint` reads package.json and files, `attw` resolves types as each kind of importer does."""
    _run("npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(packed), folder=packed / name)
    (package,) = packed.glob(f"openflagship{'-web' if name == 'web' else ''}-[0-9]*.tgz")
    tools = SDK / "node_modules" / ".bin"
    _run(str(tools / "publint"), "--strict", str(package))
    # Resolution as it was before Node 12 knows no `exports`, and these versions of Node need none of it.
    _run(str(tools / "attw"), str(package), "--profile", "node16", "--no-color", "--no-emoji")


def test_generated_accessors__in_strict_typescript__take_either_sdk(packed: Path) -> None:
    variants = {"boolean": (False, True), "string": ("a", "b"), "number": (1, 2.5), "json": ({}, {"rows": [1]})}
    documents = {
        kind: {
            "type": kind,
            "offVariant": "off",
            "variants": [{"key": "off", "value": off}, {"key": "on", "value": on}],
        }
        for kind, (off, on) in variants.items()
    }
    # Names that two flags share, and those that every object has.
    documents |= dict.fromkeys(("a-b", "a.b", "to-string", "value.of", "then", "client"), documents["boolean"])
    (packed / "flags.ts").write_text(generate("ts", documents))
    (packed / "service.ts").write_text(
        'import { FlagShip } from "./node/dist/esm/index.js";\n'
        'import { FlagShip as Page } from "./web/dist/index.js";\n'
        'import { Flags } from "./flags.js";\n'
        'export const served: Promise<number> = new Flags(new FlagShip("key", "https://flags")).number("user-1");\n'
        'export const shown: Promise<boolean> = new Flags(new Page("key", "https://flags")).boolean();\n'
    )
    how = [
        "--noEmit",
        "--strict",
        "--target",
        "es2022",
        "--lib",
        "es2023,dom,esnext.disposable",
        "--module",
        "nodenext",
    ]
    _run(str(SDK / "node_modules" / ".bin" / "tsc"), *how, "--types", "node", "service.ts", folder=packed)


def test_browser_bundle__is_within_its_limit() -> None:
    _run("npm", "run", "--silent", "size", folder=SDK / "web")


def test_engine__parity__every_generated_pair_has_the_python_engines_answer(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    count = write_pairs(pairs, PAIRS, seed=20_260_102)

    assert int(_run("node", "node/tests/parity.mjs", str(pairs))) == count
