"""The house stays in order: rooms of a size one can look over, no circles, nothing twice. STYLE says why."""

import hashlib
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from flagship.tests.source_files import ROOT, source_files

PRODUCT = (
    "audit",
    "tenancy",
    "integrations",
    "analytics",
    "flags",
    "experiments",
    "rollouts",
    "approvals",
    "flagship",
    "openflagship",
)
CODE = (".py", ".html", ".js", ".css", ".mjs")
MOST_LINES = 400
MOST_MODULES = 14
SAME_LINES = 10
# Written by tools, or by others.
GENERATED = ("flagship/static/flagship/vendor/", "package-lock.json")
# Folders that may have more modules, each with its reason.
LARGER_FOLDERS = {
    "sdk/python/openflagship/engine": "one subject, closed by the evaluation contract",
    "experiments/analysis": "one step of an analysis a module",
    "experiments/statistics": "one method a module",
    "flags/api": "one noun a module",
    "flags/services": "one act or noun a module, and the gate that each of them asks",
    "tenancy/console_kit": "one part of a page a module",
    "sdk/python/openflagship/wire": "one part of a request or an answer a module, shared by server and edge",
}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _is_test(path: Path) -> bool:
    return bool({"tests", "testing", "testdata"} & set(path.parts)) or path.name in {"testing.py", "conftest.py"}


def _product_files(*suffixes: str) -> Iterator[Path]:
    """What is shipped or run: no tests, no migrations, nothing generated."""
    for path in source_files(*suffixes):
        if not _is_test(path) and "migrations" not in path.parts and not _name(path).startswith(GENERATED):
            yield path


def _modules_at_root(folder: str) -> list[str]:
    return sorted(path.name for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize(("folder", "most"), [("flags", 12), ("analytics/stores", 6)])
def test_room__that_was_crowded__has_few_modules_at_its_root(folder, most):
    assert len(_modules_at_root(folder)) <= most, _modules_at_root(folder)


def test_rooms__every_folder_of_the_product__has_about_a_dozen_modules():
    modules = defaultdict(int)
    for path in _product_files(".py"):
        modules[_name(path.parent)] += path.name not in {"__init__.py", "__main__.py"}
    crowded = {folder: count for folder, count in modules.items() if count > MOST_MODULES}
    assert {folder: count for folder, count in crowded.items() if folder not in LARGER_FOLDERS} == {}
    assert set(LARGER_FOLDERS) <= set(crowded), "an exception that nothing needs any more"


def test_files__none__is_longer_than_400_lines():
    long = {}
    for path in source_files(*CODE, ".sh", ".yml", ".toml"):
        if "migrations" in path.parts or _name(path).startswith(GENERATED):
            continue
        lines = path.read_text().count("\n")
        if lines > MOST_LINES:
            long[_name(path)] = lines
    assert long == {}


def test_templates__no_line__is_longer_than_160_characters():
    long = [
        f"{_name(path)}:{number} ({len(line)})"
        for path in source_files(".html", under="templates")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > 160
    ]
    assert long == [], "\n".join(long)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports of the product: at the top, in functions and for types alone."""
    return grimp.build_graph(*PRODUCT, exclude_type_checking_imports=False, cache_dir=None)


def _is_product(module: str) -> bool:
    return not {"tests", "testing", "migrations"} & set(module.split("."))


def _circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Tarjan's strongly connected components of more than one."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    for start in sorted(arrows):
        work = [(start, iter(sorted(arrows[start])))] if start not in index else []
        while work:
            node, targets = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
            for target in targets:
                if target not in index:
                    work.append((target, iter(sorted(arrows.get(target, ())))))
                    break
                if target in stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    at = stack.index(node)
                    part, stack[at:] = stack[at:], []
                    if len(part) > 1:
                        found.append(sorted(part))
    return found


def test_imports__between_modules__go_in_no_circle(graph):
    arrows = {
        module: set(filter(_is_product, graph.find_modules_directly_imported_by(module)))
        for module in graph.modules
        if _is_product(module)
    }
    assert len(arrows) > 300
    assert _circles(arrows) == []


def test_imports__between_rooms_of_an_app__go_in_no_circle(graph):
    """A room is what stands directly in an app: a folder or a module."""
    circles = []
    for app in PRODUCT:
        arrows: dict[str, set[str]] = defaultdict(set)
        for module in graph.find_descendants(app):
            for imported in filter(_is_product, graph.find_modules_directly_imported_by(module)):
                rooms = [".".join(name.split(".")[:2]) for name in (module, imported)]
                if _is_product(module) and imported.startswith(f"{app}.") and rooms[0] != rooms[1]:
                    arrows[rooms[0]].add(rooms[1])
        circles += _circles(arrows)
    assert circles == []


def test_product__imports_no_test_and_no_harness_of_tests(graph):
    upward = [
        f"{module} -> {imported}"
        for module in graph.modules
        if _is_product(module) and not module.startswith("openflagship")
        for imported in graph.find_modules_directly_imported_by(module)
        if not _is_product(imported) and "migrations" not in imported
    ]
    assert upward == []


def _plain_lines(path: Path) -> list[tuple[int, str]]:
    """Lines that say something, without indentation, blank lines and comments; imports are one's own affair."""
    text = path.read_text()
    if path.suffix == ".py":
        text = re.sub(r"^(?:from|import) [^(\n]*(?:\([^)]*\))?$", lambda m: "\n" * m[0].count("\n"), text, flags=re.M)
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        plain = " ".join(line.split())
        if plain and not plain.startswith(("#", "//", "/*", "{#")):
            found.append((number, plain))
    return found


def test_code__no_ten_lines__stand_in_two_places():
    seen: dict[bytes, str] = {}
    twice: dict[str, str] = {}
    for path in _product_files(*CODE):
        lines = _plain_lines(path)
        for at in range(len(lines) - SAME_LINES + 1):
            run = lines[at : at + SAME_LINES]
            # Closing brackets and tags alone say nothing.
            if sum(len(line) for _, line in run) < 15 * SAME_LINES:
                continue
            key = hashlib.blake2b("\n".join(line for _, line in run).encode(), digest_size=16).digest()
            here = f"{_name(path)}:{run[0][0]}"
            if key in seen:
                twice.setdefault(f"{seen[key].partition(':')[0]} and {_name(path)}", f"{seen[key]} and {here}")
            else:
                seen[key] = here
    assert list(twice.values()) == [], "\n".join(twice.values())


def test_names__of_modules__say_a_subject():
    junk = {"utils", "helpers", "common", "misc", "util", "helper", "tools", "stuff"}
    assert [_name(path) for path in _product_files(".py") if path.stem in junk] == []


def test_layers__every_app__has_a_contract_of_its_own():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = {container for contract in contracts for container in contract.get("containers", ())}
    assert {"audit", "tenancy", "integrations", "analytics", "flags", "experiments", "rollouts", "approvals"} <= held
