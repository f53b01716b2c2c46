"""The docs are part of the build: a setting, route, metric or audit action they do not name, or a dead link, fails."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from prometheus_client import REGISTRY

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
APPS = ("audit", "tenancy", "analytics", "flags", "experiments", "flagship")


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


def _audit_actions() -> set[str]:
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


@pytest.mark.parametrize("document", [".env.example", "docs/configuration.md"])
def test_settings__every_variable__is_documented(document):
    names = _settings()
    assert len(names) > 15
    text = _read(document)
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", text)) == []


def test_routes__every_api_route__is_documented():
    text = _read("docs/api.md")
    routes = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route) for route in _routes(get_resolver().url_patterns)}
    api = {route.removeprefix("api/") for route in routes if route.startswith("api/")} - {"schema/", "docs/"}
    assert "flags/evaluate" in api
    assert sorted(route for route in api if f"`{route}`" not in text) == []


def test_metrics__every_one_of_ours__is_documented():
    text = _read("docs/metrics.md")
    names = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("flagship_")}
    assert len(names) > 3
    assert sorted(name for name in names if name not in text) == []


def test_audit_actions__every_one__is_documented():
    text = _read("docs/audit.md")
    actions = _audit_actions()
    assert {"flag.killed", "credential.revoked"} <= actions
    assert sorted(action for action in actions if f"`{action}`" not in text) == []


def test_links__between_documents__lead_somewhere():
    dead = []
    for document in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", document.read_text()):
            if not (document.parent / target).exists():
                dead.append(f"{document.relative_to(ROOT)} -> {target}")
    assert dead == []
