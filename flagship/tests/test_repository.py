"""The files around the code hold together: what they name exists, and what they run is what `make` runs."""

import json
import re
import shlex
import subprocess
from typing import Any

import pytest
import yaml

from flagship.tests.source_files import ROOT

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _yaml(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


@pytest.mark.parametrize(
    "name",
    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", ".editorconfig", "LICENSE"],
)
def test_file__that_every_repository_has__is_there(name):
    assert (ROOT / name).stat().st_size > 100


def test_licence__is_apache_2__whole():
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()
    assert 'license = "Apache-2.0"' in (ROOT / "sdk/python/pyproject.toml").read_text()


def test_workflow__every_job__runs_targets_that_the_makefile_has():
    jobs = _yaml(".github/workflows/ci.yml")["jobs"]
    assert set(jobs) == {"lint", "types", "tests", "coverage", "docker"}
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    made = {shlex.split(command)[1] for command in commands if command.startswith("make ")}
    assert made == {"lint", "types", "suite", "cover"}
    assert made <= TARGETS
    assert all(job["timeout-minutes"] for job in jobs.values())


def test_pre_commit__every_hook__runs_a_tool_that_is_pinned():
    pinned = (ROOT / "requirements-dev.txt").read_text()
    for hook in _yaml(".pre-commit-config.yaml")["repos"][0]["hooks"]:
        program, *rest = shlex.split(hook["entry"])
        if program == "make":
            assert rest[0] in TARGETS
        else:
            package = {"lint-imports": "import-linter"}.get(program.rpartition("/")[2], program.rpartition("/")[2])
            assert program.startswith(".venv/bin/")
            assert re.search(rf"^{package}==", pinned, re.MULTILINE), package


def test_code_owners__every_path__is_there():
    lines = (ROOT / ".github/CODEOWNERS").read_text().splitlines()
    paths = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert [path for path in paths if path != "*" and not (ROOT / path.strip("/")).exists()] == []


def test_templates__of_issues__are_forms_with_unique_ids():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("[bf]*.yml"):
        form = yaml.safe_load(path.read_text())
        ids = [part["id"] for part in form["body"]]
        assert form["name"]
        assert len(ids) == len(set(ids))


def test_dependabot__every_directory__has_what_it_looks_for():
    wanted = {"pip": "requirements.txt", "npm": "package.json", "docker": "Dockerfile", "github-actions": ".github"}
    for update in _yaml(".github/dependabot.yml")["updates"]:
        for folder in update.get("directories", [update.get("directory")]):
            assert (ROOT / folder.strip("/") / wanted[update["package-ecosystem"]]).exists()


def test_devcontainer__is_json__and_forwards_the_ports_of_make_run():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["forwardPorts"] == [8000, 8001]
    assert "make setup" in container["postCreateCommand"]


def test_make_help__every_target__is_listed():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    hidden = {"help", "setup", "lint-scripts"}
    assert {target for target in TARGETS - hidden if f"make {target} " not in shown} == set()


def test_image__tests_and_their_machinery__stay_out():
    left_out = (ROOT / ".dockerignore").read_text().split()
    assert {"**/tests", "flags/testing", "*/testing.py", "docs", "benchmarks", ".git", ".env", "var"} <= set(left_out)
    # The SDK's fixtures for tests of services are part of the SDK, and in the image with it.
    assert (ROOT / "sdk/python/openflagship/testing.py").exists()
    assert "**/testing.py" not in left_out
