"""`openflagship refs` against the server's own API: keys are asked for, a scan is reported, and what is gone dated."""

import json
import os
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from django.test import Client
from openflagship import management
from openflagship.cli import main
from openflagship.client.transport.http import Response
from openflagship.references import comment, reporting

from flags import services
from flags.models import CodeReference, ScannedBranch
from tenancy.testing import ALICE


@pytest.fixture
def asked(monkeypatch):
    """Calls of the command go to this process's API; returns them."""
    calls = []

    def answer_of(url, method, path, headers, body, *, wait_seconds):
        calls.append((method, path))
        parts = urlsplit(path)
        sent = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        headers = {name: value for name, value in headers.items() if name != "Content-Type"}
        found = getattr(Client(), method.lower())(
            parts.path, headers=headers, query_params=dict(parse_qsl(parts.query)), **sent
        )
        response = Response(found.status_code, {})
        response.body = found.content
        return response

    monkeypatch.setattr(management, "answer_of", answer_of)
    for name in ("GITHUB_REPOSITORY", "CI_PROJECT_PATH", "BITBUCKET_REPO_FULL_NAME", "CI_DEFAULT_BRANCH"):
        monkeypatch.delenv(name, raising=False)
    return calls


@pytest.fixture
def checkout(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgSign=false")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, timeout=120, capture_output=True)

    git("init", "--quiet", "--initial-branch=main")
    git("remote", "add", "origin", "git@github.com:acme/shop.git")
    (tmp_path / "a.py").write_text('ask("new-checkout")\nask("dark-mode")\nask("left-over")\n')
    git("add", ".")
    git("commit", "--quiet", "-m", "one", "--date", "2026-03-01T12:00:00+00:00")
    (tmp_path / "a.py").write_text('ask("new-checkout")\nask("left-over")\n')
    git("commit", "--quiet", "-a", "-m", "two")
    return tmp_path


def run(key, checkout, *arguments):
    return main(["--key", key.secret, "refs", *arguments, "--path", str(checkout)])


@pytest.fixture
def ci(environment, make_flag, key):
    for name in ("new-checkout", "dark-mode", "left-over"):
        make_flag(name)
    services.archive_flag(actor=ALICE, environment=environment, key="left-over")
    return key("server")


def test_scan__uploaded_with_a_server_key__is_on_the_server_with_dates(asked, ci, checkout, viewer, capsys):
    assert run(ci, checkout, "scan", "--upload", "--text") == 0
    said = capsys.readouterr().out

    assert "acme/shop@main: 2 references to 2 flags" in said
    # One to know the flags, one to report them.
    assert [method for method, _ in asked] == ["GET", "PUT"]
    found = viewer.get("flags/new-checkout/references").json()["branches"][0]
    revision = found["revision"]
    url = f"https://github.com/acme/shop/blob/{revision}/a.py#L1"
    place = {"path": "a.py", "line": 1, "alias": "new-checkout", "text": 'ask("new-checkout")', "url": url}
    assert found["places"] == [place]
    # Archived, and code still asks for it.
    assert viewer.get("flags/left-over/references").json()["count"] == 1
    gone = CodeReference.objects.get(flag__key="dark-mode")
    assert (gone.count, gone.gone_revision) == (0, revision)


def test_scan__in_several_parts__is_one_report(asked, ci, checkout, monkeypatch):
    monkeypatch.setattr(reporting, "_MOST_BYTES", 100)
    assert run(ci, checkout, "scan", "--upload", "--branch", "dev", "--default-branch") == 0

    assert [method for method, _ in asked] == ["GET", "PUT", "PUT", "PUT"]
    branch = ScannedBranch.objects.get()
    assert (branch.branch, branch.is_default, branch.references.count()) == ("dev", True, 3)
    assert branch.scanned_at is not None


def test_keys__of_many_flags__come_in_pages(asked, ci, checkout, monkeypatch, capsys):
    monkeypatch.setattr(reporting, "_PAGE_SIZE", 2)
    assert run(ci, checkout, "scan") == 0

    assert [method for method, _ in asked] == ["GET", "GET"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["1\tleft-over\ta.py:2", "1\tnew-checkout\ta.py:1"]
    assert lines[2].startswith("2 references to 2 flags in 1 files")


def test_scan__with_a_client_key__is_refused_in_one_line(asked, ci, key, checkout, capsys):
    assert run(key("client"), checkout, "scan", "--upload") == 1
    assert "403" in capsys.readouterr().err


def test_cleanup__of_a_flag_for_everybody__keeps_what_the_server_says(asked, editor, make_flag, checkout, capsys):
    make_flag("new-checkout", rollout=[{"variant": "treatment", "percent": 100}])
    (checkout / "a.py").write_text('if flags.boolean("new-checkout", user):\n    new()\nelse:\n    old()\n')
    scope = ["--token", editor.secret, "--organization", "acme", "--project", "web", "--environment", "production"]

    assert main(["refs", "cleanup", "new-checkout", "--path", str(checkout), *scope]) == 0
    said = capsys.readouterr()
    assert "-if flags.boolean" in said.out
    assert "+new()" in said.out
    assert "keeps true: 1 files changed" in said.err


def test_comment__on_github__is_written_once_and_changed_later(monkeypatch):
    calls, earlier = [], []

    def answer_of(url, method, path, headers, body, *, wait_seconds):
        calls.append((url, method, path))
        response = Response(200 if headers["Authorization"] == "Bearer t" else 403, {})
        response.body = json.dumps(earlier if method == "GET" else {}).encode()
        return response

    monkeypatch.setattr(comment, "answer_of", answer_of)
    pull = comment.PullRequest("https://api.github.com", "acme/shop", 7, "t")
    text = comment.markdown({}, {})
    assert "No line that refers to a flag" in text
    assert comment.post(pull, text, wait_seconds=1) == "written"
    earlier.append({"id": 5, "body": text})
    assert comment.post(pull, text, wait_seconds=1) == "changed"

    assert [(method, path.partition("?")[0]) for _, method, path in calls] == [
        ("GET", "/repos/acme/shop/issues/7/comments"),
        ("POST", "/repos/acme/shop/issues/7/comments"),
        ("GET", "/repos/acme/shop/issues/7/comments"),
        ("PATCH", "/repos/acme/shop/issues/comments/5"),
    ]
    refused = comment.PullRequest("https://api.github.com", "acme/shop", 7, "other")
    with pytest.raises(management.CommandError, match="403"):
        comment.post(refused, text, wait_seconds=1)


def test_upload__with_keys_of_a_file__is_refused(asked, ci, checkout, tmp_path_factory, capsys):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("dark-mode")

    assert run(ci, checkout, "scan", "--upload", "--keys", str(keys)) == 1
    assert "leave --keys out" in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize(
    ("given", "ran"),
    [
        ({}, "refs scan --upload --path a b --default-branch"),
        (
            {"EVENT": "pull_request", "HEAD_REPOSITORY": "acme/shop"},
            "refs comment --post --base origin/main --path a b",
        ),
        ({"EVENT": "pull_request", "HEAD_REPOSITORY": "ann/shop"}, "::notice::"),
        ({"IS_FORK": "true", "FLAGSHIP_SERVER_KEY": ""}, "::notice::"),
        ({"FLAGSHIP_SERVER_KEY": ""}, "refs scan --upload --path a b --default-branch"),
    ],
    ids=["push", "pull-request", "from-a-fork", "push-in-a-fork", "no-key"],
)
def test_action__of_github__leaves_forks_out(tmp_path, given, ran):
    action = yaml.safe_load((Path(__file__).parents[2] / "deploy/ci/github/action.yml").read_text())
    step = action["runs"]["steps"][-1]
    tool = tmp_path / "openflagship"
    tool.write_text('#!/bin/sh\necho "$@"\n')
    tool.chmod(0o755)
    known = {"FLAGSHIP_SERVER_KEY": "k", "PATHS": "a b\n", "COMMENT": "true", "EVENT": "push", "IS_FORK": "false"}
    known |= {"DEFAULT_BRANCH": "main", "GITHUB_REPOSITORY": "acme/shop", "GITHUB_BASE_REF": "main"}
    known |= {"GITHUB_REF_NAME": "main", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    unset = dict.fromkeys(step["env"], "")

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step["run"]],
        env={**unset, **known, **given},
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(ran)
