"""What git's history says: since when a flag is gone, and what a branch adds, takes away and still has."""

from __future__ import annotations

from pathlib import Path

import pytest
from openflagship.cli import main
from openflagship.references.history import changes, file_diffs, gone_since
from openflagship.references.repository import Repository, repository_of
from openflagship.references.scanning import Checkout, matcher_for
from openflagship.references.settings import Settings
from small_checkout import git

KEYS = ("gone", "gone-by-merge", "never-there", "moved-first")


def commit(folder: Path, day: int, text: str | None, path: str = "a.py") -> str:
    file = folder / path
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    git(folder, "add", "--all")
    date = f"2026-03-{day:02}T12:00:00+00:00"
    git(folder, "commit", "--quiet", "-m", f"day {day}", "--date", date)
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


def checkout_of(folder: Path) -> Checkout:
    return Checkout(folder, [], is_git=True, settings=Settings())


def dated(monkeypatch: pytest.MonkeyPatch, day: int) -> None:
    monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-03-{day:02}T12:00:00+00:00")


def test_gone__is_the_newest_commit_that_took_a_reference_out(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dated(monkeypatch, 1)
    commit(repository, 1, '"gone"\n"gone-by-merge"\n-- a/trap "moved-first"\n"stays-1"\n')
    dated(monkeypatch, 2)
    removed = commit(repository, 2, '"gone-by-merge"\n-- a/trap "moved-first"\n"stays-1"\n')
    dated(monkeypatch, 3)
    git(repository, "checkout", "--quiet", "-b", "feature")
    commit(repository, 3, '-- a/trap "moved-first"\n"stays-1"\n')
    git(repository, "checkout", "--quiet", "main")
    dated(monkeypatch, 5)
    git(repository, "merge", "--quiet", "--no-ff", "-m", "merge", "feature")
    merge = git(repository, "rev-parse", "HEAD").strip()
    dated(monkeypatch, 6)
    # Git quotes such a name, whatever its settings are.
    name = 'b "ö\t\x01.py'
    (repository / name).write_text('-- a/trap "moved-first"\n')
    commit(repository, 6, '"stays-1"\n')
    dated(monkeypatch, 7)
    moved = commit(repository, 7, None, name)

    checkout = checkout_of(repository)
    left_out = Checkout(repository, [], is_git=True, settings=Settings(ignore=("b *.py",)))
    assert gone_since(left_out, matcher_for(left_out, KEYS), KEYS, most_commits=2)["moved-first"].at.day == 6
    found = gone_since(checkout, matcher_for(checkout, KEYS), KEYS)
    assert {key: (gone.revision, gone.at.day) for key, gone in found.items()} == {
        "gone": (removed, 2),
        # When it came to the branch that is scanned, not when somebody wrote it.
        "gone-by-merge": (merge, 5),
        "moved-first": (moved, 7),
    }
    assert gone_since(checkout, matcher_for(checkout, KEYS), KEYS, most_commits=2).keys() == {"moved-first"}


def test_comment__of_a_branch__says_added_removed_and_touched(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(repository, 1, '"old-flag"\n"kept-flag"\n"kept-flag"\n"still-flag"\n')
    git(repository, "checkout", "--quiet", "-b", "feature")
    commit(repository, 2, '"kept-flag"\n"new-flag"\n"still-flag"\n')
    keys = repository.parent / "keys"
    keys.write_text("old-flag kept-flag new-flag still-flag")
    command = ["refs", "comment", "--path", str(repository), "--keys", str(keys)]

    assert main([*command, "--base", "main"]) == 0
    said = capsys.readouterr().out
    assert "| `new-flag` | first reference | 1 |" in said
    assert "| `old-flag` | no reference is left" in said
    assert "| `kept-flag` | 0 lines added, 1 removed | 1 |" in said
    assert "still-flag" not in said

    assert main([*command, "--base", "no-such"]) == 1
    assert "is no-such fetched?" in capsys.readouterr().err
    checkout = checkout_of(repository)
    assert changes(checkout, matcher_for(checkout, ["still-flag"]), "main") == {}


def test_diff__of_hunks_that_look_like_heads__is_read_line_by_line() -> None:
    diff = b"""\
commit\0abc\x002026-03-01T00:00:00+00:00

diff --git a/x.sql b/x.sql
index 1..2 100644
--- a/x.sql
+++ b/x.sql
@@ -1,2 +1 @@ head
--- a/not a head
-diff --git a/y b/y
+++ b/not one either
\\ No newline at end of file
""".splitlines(keepends=True)

    (found,) = file_diffs(diff)
    assert (found.path, found.revision) == ("x.sql", "abc")
    assert found.removed == [b"-- a/not a head", b"diff --git a/y b/y"]
    assert found.added == [b"++ b/not one either"]


@pytest.mark.parametrize(
    ("remote", "name", "url"),
    [
        ("git@github.com:acme/shop.git", "acme/shop", "https://github.com/acme/shop"),
        ("https://token:x@gitlab.example.com/a/b/shop.git", "a/b/shop", "https://gitlab.example.com/a/b/shop"),
        ("ssh://git@bitbucket.org:7999/acme/shop", "acme/shop", "https://bitbucket.org/acme/shop"),
        ("../other", "", ""),
        ("", "", ""),
    ],
    ids=["scp", "https", "port", "folder", "none"],
)
def test_repository__of_a_checkout__is_named_without_secrets(
    repository: Path, remote: str, name: str, url: str
) -> None:
    if remote:
        git(repository, "remote", "add", "origin", remote)

    found = repository_of(repository, {}, is_git=True)
    assert (found.name, found.url, found.branch) == (name or repository.name, url, "main")


def test_repository__of_a_job__is_what_the_job_says(tmp_path: Path) -> None:
    github = {"GITHUB_REPOSITORY": "acme/shop", "GITHUB_REF_NAME": "main", "GITHUB_SHA": "abc"}
    gitlab = {"CI_PROJECT_PATH": "acme/shop", "CI_COMMIT_REF_NAME": "dev", "CI_DEFAULT_BRANCH": "main"}

    url = "https://github.com/acme/shop"
    assert repository_of(tmp_path, github, is_git=False) == Repository("acme/shop", "main", "abc", url, None)
    assert repository_of(tmp_path, gitlab, is_git=False) == Repository("acme/shop", "dev", "", "", is_default=False)
