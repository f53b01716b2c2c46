"""Addresses of lines of code on the site that hosts a repository."""

from typing import Final
from urllib.parse import quote, urlsplit

# `{revision}` is the commit that was scanned, so that a link shows the line as the scan found it.
HOSTS: Final = {
    "github": "/blob/{revision}/{path}#L{line}",
    "gitlab": "/-/blob/{revision}/{path}#L{line}",
    "bitbucket": "/src/{revision}/{path}#lines-{line}",
}


def template_of(url: str, host: str | None = None) -> str:
    """Return the template of links into the repository at `url`, or "" for a host whose addresses are not known."""
    name = urlsplit(url).hostname or ""
    known = host or next((each for each in HOSTS if each in name), None)
    return url.removesuffix("/").removesuffix(".git") + HOSTS[known] if known else ""


def place_url(template: str, *, path: str, line: int, revision: str, branch: str) -> str:
    """Return the address of a line, or "" where the repository has no template."""
    # Each value is quoted, so a placeholder in one of them is no placeholder any more.
    values = {
        "{path}": quote(path),
        "{line}": str(line),
        "{revision}": quote(revision or branch),
        "{branch}": quote(branch),
    }
    for placeholder, value in values.items():
        template = template.replace(placeholder, value)
    return template
