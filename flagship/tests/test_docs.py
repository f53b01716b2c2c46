"""The docs are part of the build: a setting, route, metric or audit action they do not name, or a dead link, fails."""

import ast
import re
from collections.abc import Iterator

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from prometheus_client import REGISTRY

from audit.actions import all_actions, markdown_table
from flagship.tests.source_files import ROOT, source_files
from integrations.event_types import markdown_tables

DOCS = ROOT / "docs"
APPS = ("audit", "tenancy", "integrations", "analytics", "flags", "experiments", "rollouts", "approvals", "flagship")


def _read(name: str) -> str:
    return (ROOT / name).read_text()


def _settings() -> set[str]:
    """Every variable that settings.py reads, by the first argument of `env.…()` and `_number()`."""
    names = set()
    for node in ast.walk(ast.parse(_read("flagship/settings.py"))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = ast.unparse(node.func)
            if function in {"_number", "_pattern"} or re.fullmatch(r"env\.(str|bool|list|int|float)", function):
                names.add(node.args[0].value)
    return {name for name in names if isinstance(name, str)}


def _routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for entry in patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _routes(entry.url_patterns, path)
        else:
            yield path


def _action_literals() -> set[str]:
    """Literals like "flag.killed" in the apps' services."""
    found = set()
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            if "services" not in path.as_posix() or "tests" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= set(re.findall(r"\A[a-z_]+\.[a-z_]+ed\Z", node.value))
    return found


@pytest.mark.parametrize("document", [".env.example", "docs/reference/configuration.md"])
def test_settings__every_variable__is_documented(document):
    names = _settings()
    assert len(names) > 15
    text = _read(document)
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", text)) == []


def test_routes__every_api_route__is_documented():
    text = _read("docs/reference/api.md")
    routes = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route) for route in _routes(get_resolver().url_patterns)}
    api = {route.removeprefix("api/") for route in routes if route.startswith("api/")} - {"schema/", "docs/"}
    assert "flags/evaluate" in api
    assert sorted(route for route in api if f"`{route}`" not in text) == []


def test_metrics__every_one_of_ours__is_documented():
    text = _read("docs/reference/metrics.md")
    names = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("flagship_")}
    assert len(names) > 3
    assert sorted(name for name in names if name not in text) == []


def test_audit_actions__the_table__is_the_registry():
    assert markdown_table() in _read("docs/reference/audit.md")


def test_events__the_tables__are_the_registry():
    assert markdown_tables() in _read("docs/reference/events.md")


def test_audit_actions__every_one_that_a_service_names__is_registered():
    actions = _action_literals()
    assert {"flag.killed", "credential.revoked"} <= actions
    assert sorted(actions - {action.name for action in all_actions()}) == []


def test_links__between_documents__lead_somewhere():
    dead = []
    for document in [*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md"), *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", document.read_text()):
            if not (document.parent / target).exists():
                dead.append(f"{document.relative_to(ROOT)} -> {target}")
    assert dead == []


def test_mentions__of_documents_anywhere__name_files_that_exist():
    dead = []
    for path in source_files(".md", ".py", ".yml", ".toml", ".html", ".env.example", "Makefile", "Caddyfile"):
        for target in re.findall(r"\b(?:docs|benchmarks)/[\w/.-]+\.(?:md|py)\b", path.read_text()):
            if not (ROOT / target).exists() and not (path.parent / target).exists():
                dead.append(f"{path.relative_to(ROOT)} -> {target}")
    assert dead == []


def test_index__of_the_docs__lists_every_page():
    text = _read("docs/index.md")
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md") if page.name != "index.md"]
    assert sorted(page for page in pages if f"({page})" not in text) == []


def test_development__what_is_changed_in_one_place__is_there():
    """Paths and names of the table of `docs/development.md`; a name in backticks after a path stands in that file."""
    text = _read("docs/development.md")
    table = re.search(r"### One place each\n(.*?)\n\n##", text, re.DOTALL)
    assert table is not None
    rows = re.findall(r"^\| ([^|]+) \| (.*`.*) \|$", table[1], re.MULTILINE)
    wanted = {"an operator", "a column in the flags list", "a stream event kind", "how a lift's interval is computed"}
    wanted |= {"a metric type", "a role", "a rate-limit header", "the retention of raw events", "an audit action"}
    wanted |= {
        "a store backend",
        "a broker",
        "a webhook event",
        "an SDK in the conformance harness",
        "a stage of a flag's life",
    }
    wanted |= {"an export to object storage"}
    assert {what for what, _ in rows} == wanted
    wrong = []
    for what, where in rows:
        paths = [name for name in re.findall(r"`([^`]+)`", where) if "/" in name]
        names = [name for name in re.findall(r"`([^`]+)`", where) if "/" not in name and not name.endswith(".py")]
        wrong += [f"{what}: {path}" for path in paths if not (ROOT / path).exists()]
        last = [path for path in paths if path.endswith(".py") and (ROOT / path).exists()]
        wrong += [f"{what}: {name}" for name in names if not any(name in _read(path) for path in last)]
    assert wrong == []
