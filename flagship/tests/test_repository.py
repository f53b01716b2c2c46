"""The files around the code hold together: what they name exists, and what they run is what `make` runs."""

import json
import re
import shlex
import subprocess
from typing import Any

import pytest
import yaml

from benchmarks.stack import REQUIREMENTS, differences
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
    assert set(jobs) == {"lint", "types", "supply", "tests", "coverage", "docker"}
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    made = {shlex.split(command)[1] for command in commands if command.startswith("make ")}
    assert made == {"lint", "types", "supply", "suite", "cover"}
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


def test_make__interrupted_while_the_environment_was_made__starts_over(tmp_path):
    """A half-made .venv has a python and no pip: each later run would fail."""
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$2" = venv ] && mkdir -p "$3/bin" && touch "$3/bin/python"\nexit 0\n')
    python.chmod(0o755)
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "half-made").touch()

    def made():
        command = ["make", f"PYTHON={python}", ".venv/.made"]
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        return {path.name for path in (tmp_path / ".venv").iterdir()}

    assert made() == {"bin", ".made"}
    (tmp_path / ".venv" / ".made").unlink()
    (tmp_path / ".venv" / ".run-installed").touch()
    assert made() == {"bin", ".made", ".run-installed"}  # filled before this mark was known


def test_requirements__every_package__is_locked_with_its_hashes():
    pins = {}
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-parquet.txt"):
        packages = (ROOT / name).read_text().replace("\\\n", "").splitlines()
        for package in (line for line in packages if not line.startswith("#")):
            pinned, *hashes = package.split(" --hash=sha256:")
            pinned = " ".join(pinned.split())
            assert hashes, f"{pinned} in {name}"
            assert pins.setdefault(pinned.partition("==")[0], pinned) == pinned
        wanted = (ROOT / name.replace(".txt", ".in")).read_text().splitlines()
        for line in (line for line in wanted if line and not line.startswith(("#", "-"))):
            package, _, version = line.partition(";")[0].partition("==")
            locked = pins[re.sub(r"[._]", "-", package.lower()).partition("[")[0]]
            assert locked.partition(";")[0].strip().endswith(f"=={version.strip()}"), f"{line}: run `make lock`"


def test_benchmarks__on_another_stack_than_the_shipped_one__are_refused(tmp_path):
    assert differences() == []
    names = {line.partition("==")[0] for line in REQUIREMENTS.read_text().splitlines()}
    assert {"uvloop", "httptools", "granian", "uvicorn"} <= names
    pins = tmp_path / "requirements.txt"
    pins.write_text('-e ./sdk\n# Others.\nuvloop==0.0.1\nnobody-has-this==1\nuvicorn==0.1; python_version < "3"\n')
    slower, missing = differences(pins)
    assert "uvloop is" in slower
    assert missing == "nobody-has-this is missing"
