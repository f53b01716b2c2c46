"""What a checkout is called: repository, branch, revision and address, of the CI job's variables or of git."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from openflagship.references.git import GitError, git

_REMOTE = re.compile(r"(?:[a-z+]+://)?(?:[^@/]*@)?(?P<host>[^:/]+)(?::\d+(?=/))?[:/]+(?P<path>.+?)(?:\.git)?/*\Z")


@dataclass(frozen=True, slots=True)
class Repository:
    """Empty where nothing says it. `is_default` is None where nothing says which branch is the default one."""

    name: str = ""
    branch: str = ""
    revision: str = ""
    url: str = ""
    is_default: bool | None = None


def repository_of(root: Path, environ: Mapping[str, str], *, is_git: bool) -> Repository:
    """The job's own words come first: in a CI checkout git often has no branch, only a revision."""
    job = _job(environ)
    local = _local(root) if is_git else Repository()
    branch = job.branch or local.branch
    default = environ.get("CI_DEFAULT_BRANCH") or (_default_branch(root) if is_git else "")
    return Repository(
        job.name or local.name,
        branch,
        job.revision or local.revision,
        job.url or local.url,
        branch == default if branch and default else None,
    )


def _job(environ: Mapping[str, str]) -> Repository:
    get = environ.get
    if get("GITHUB_REPOSITORY"):
        name = environ["GITHUB_REPOSITORY"]
        branch = get("GITHUB_HEAD_REF") or get("GITHUB_REF_NAME", "")
        return Repository(
            name, branch, get("GITHUB_SHA", ""), f"{get('GITHUB_SERVER_URL', 'https://github.com')}/{name}"
        )
    if get("CI_PROJECT_PATH"):
        branch = get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME") or get("CI_COMMIT_REF_NAME", "")
        return Repository(environ["CI_PROJECT_PATH"], branch, get("CI_COMMIT_SHA", ""), get("CI_PROJECT_URL", ""))
    if get("BITBUCKET_REPO_FULL_NAME"):
        return Repository(
            environ["BITBUCKET_REPO_FULL_NAME"],
            get("BITBUCKET_BRANCH", ""),
            get("BITBUCKET_COMMIT", ""),
            get("BITBUCKET_GIT_HTTP_ORIGIN", ""),
        )
    return Repository()


def _local(root: Path) -> Repository:
    remote = _asked(root, "config", "--get", "remote.origin.url")
    match = _REMOTE.match(remote)
    # Without what may be a person's name or password in it.
    url = f"https://{match['host']}/{match['path']}" if match and "." in match["host"].strip(".") else ""
    return Repository(
        match["path"] if match and url else root.name,
        _asked(root, "symbolic-ref", "--quiet", "--short", "HEAD"),
        _asked(root, "rev-parse", "--verify", "--quiet", "HEAD"),
        url,
    )


def _default_branch(root: Path) -> str:
    return _asked(root, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD").partition("/")[2]


def _asked(root: Path, *arguments: str) -> str:
    """Git's answer, or "" where it has none: a repository may have no remote, no commit and no branch."""
    try:
        return git(root, *arguments).decode(errors="replace").strip()
    except GitError:
        return ""
