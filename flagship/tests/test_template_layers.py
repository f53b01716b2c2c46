"""Templates keep to the layers that imports keep to: none uses a template or a tag of an app above its own."""

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from django.apps import apps
from django.template import engines

from flagship.tests.source_files import ROOT, source_files

TEMPLATES = ROOT / "templates"
LAYERS = ("audit", "tenancy", "integrations", "analytics", "flags", "experiments", "rollouts", "approvals", "flagship")
# The console's kit and the frame around each page stand in tenancy, which every console page is above.
ROOMS = {"console": "tenancy", "admin": "tenancy", "unfold": "tenancy", "drf_spectacular": "flagship"}
# The home page shows figures of every app; Django's admin says what its template is called.
PAGES = {"admin/index.html": "flagship"}
USES = re.compile(r"""{%-?\s*(?:include|extends)\s+["']([^"']+)["']|["']([\w/-]+\.html)["']""")
LOADS = re.compile(r"{%-?\s*load\s+(?:[^%]*?\sfrom\s+)?([\w. ]+?)\s*-?%}")


def _layer(app: str) -> int:
    return LAYERS.index(app)


def _room(template: str) -> str | None:
    """The app that a template of ours belongs to; None where it is a package's."""
    folder = template.partition("/")[0]
    if not (TEMPLATES / template).is_file():
        return None
    return PAGES.get(template) or ROOMS.get(folder, folder)


def _libraries() -> dict[str, str]:
    """Tag library to app, for ours."""
    ours = {config.name for config in apps.get_app_configs() if Path(config.path).parent == ROOT}
    known = engines["django"].engine.libraries
    return {name: module.partition(".")[0] for name, module in known.items() if module.partition(".")[0] in ours}


def _templates() -> Iterator[tuple[str, str, str]]:
    """Name, app and text."""
    for path in source_files(".html", under="templates"):
        name = path.relative_to(TEMPLATES).as_posix()
        room = _room(name)
        assert room in LAYERS, f"Which app does templates/{name} belong to?"
        yield name, room, path.read_text()


def test_templates__what_they_include_extend_or_name__is_of_their_own_app_or_below():
    upward, seen = [], 0
    for name, app, text in _templates():
        for included, named in USES.findall(text):
            room = _room(included or named)
            if room is not None:
                seen += 1
                if _layer(room) > _layer(app):
                    upward.append(f"{name} -> {included or named}")
    assert seen > 50
    assert upward == [], "\n".join(upward)


def test_templates__every_constant_include__is_a_template_that_exists():
    engine = engines["django"].engine
    for _, _, text in _templates():
        for included, _ in USES.findall(text):
            if included:
                engine.get_template(included)


def test_templates__tags_they_load__are_of_their_own_app_or_below():
    libraries = _libraries()
    assert "tenancy" in libraries.values()
    upward = [
        f"{name} loads {library}"
        for name, app, text in _templates()
        for names in LOADS.findall(text)
        for library in names.split()
        if library in libraries and _layer(libraries[library]) > _layer(app)
    ]
    assert upward == [], "\n".join(upward)


def test_code__templates_that_it_names__are_of_its_own_app_or_below():
    """Page functions and inclusion tags name their templates in Python."""
    upward, seen = [], 0
    for app in LAYERS:
        if find_spec(app) is None:
            continue
        for path in source_files(".py", under=app):
            if "tests" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".html"):
                    room = _room(node.value)
                    seen += room is not None
                    if room is not None and _layer(room) > _layer(app):
                        upward.append(f"{path.relative_to(ROOT)} -> {node.value}")
    assert seen > 30
    assert upward == [], "\n".join(upward)
