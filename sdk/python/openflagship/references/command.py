"""`openflagship refs`: scan a checkout, comment on a pull request, and propose the diff that takes a flag out."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from openflagship.client import FlagShip
from openflagship.management import CommandError, Server, say
from openflagship.references import comment
from openflagship.references.cleanup.flags import Target
from openflagship.references.cleanup.proposal import propose
from openflagship.references.cleanup.winner import winner_of
from openflagship.references.files import relative_paths, root_of
from openflagship.references.git import GitError
from openflagship.references.history import MOST_COMMITS, Gone, changes, gone_since
from openflagship.references.reporting import KnownFlag, known_flags, report
from openflagship.references.repository import Repository, repository_of
from openflagship.references.scanning import Checkout, Scan, matcher_for, scan
from openflagship.references.settings import SettingsError, read_settings

_PULL = re.compile(r"refs/pull/(\d+)/")
_MOST_LEFT = 200


def add_commands(
    parser: argparse.ArgumentParser,
    add_management: Callable[[argparse.ArgumentParser], None],
    client_of: Callable[[argparse.Namespace], FlagShip],
) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    scanning = commands.add_parser("scan", help="count the references to each flag; --upload tells the server")
    _add_checkout(scanning, add_management)
    scanning.add_argument("--json", action="store_true", help="every place")
    scanning.add_argument("--upload", action="store_true", help="replace what the server knows of this branch")
    scanning.add_argument("--text", action="store_true", help="upload the lines too, not only where they are")
    scanning.add_argument("--repository", default="", help="default: of the CI job or git, such as acme/shop")
    scanning.add_argument("--branch", default="", help="likewise")
    scanning.add_argument("--default-branch", action="store_true", help="this branch is the repository's default one")
    scanning.add_argument("--link", default="", help="template of links: {path}, {line}, {revision}, {branch}")
    scanning.add_argument("--host", choices=("github", "gitlab", "bitbucket"), help="where the address does not tell")
    scanning.add_argument(
        "--history", type=int, default=MOST_COMMITS, help=f"commits to search ({MOST_COMMITS}); 0: none"
    )
    scanning.set_defaults(run=_scan)

    commenting = commands.add_parser("comment", help="what a branch does to flags, as Markdown")
    _add_checkout(commenting, add_management)
    commenting.add_argument("--base", default="origin/" + os.environ.get("GITHUB_BASE_REF", "main"))
    commenting.add_argument("--post", action="store_true", help="on GitHub, with GITHUB_TOKEN; else print it")
    commenting.set_defaults(run=_comment)

    cleaning = commands.add_parser("cleanup", help="a diff that keeps one variant's code; nothing is written or pushed")
    _add_checkout(cleaning, add_management)
    cleaning.add_argument("flag")
    cleaning.add_argument("--keep", help="a variant, or a value as JSON; default: what everybody gets now")
    cleaning.add_argument("--call", action="append", default=[], help="a function of yours that takes the key first")
    environment = os.environ.get("FLAGSHIP_ENVIRONMENT", "")
    cleaning.add_argument("--environment", default=environment, help="FLAGSHIP_ENVIRONMENT, with a token")
    cleaning.add_argument("--out", type=Path, help="a file for the diff; default: print it")
    cleaning.set_defaults(run=lambda given: _cleanup(given, client_of))


def _add_checkout(parser: argparse.ArgumentParser, add_management: Callable[[argparse.ArgumentParser], None]) -> None:
    parser.add_argument("--path", type=Path, action="append", default=[], help="a folder or file; default: all")
    parser.add_argument("--keys", type=Path, help="a file of keys, one a line, or of `snapshot save`; default: ask")
    parser.add_argument("--alias", action="append", default=[], help="such as camelCase, or is{PascalCase}Enabled")
    add_management(parser)


def _checkout(given: argparse.Namespace) -> Checkout:
    root, is_git = root_of(given.path[0] if given.path else Path.cwd())
    try:
        settings = read_settings(root, given.alias)
    except SettingsError as error:
        raise CommandError(str(error)) from error
    return Checkout(root, relative_paths(root, given.path), is_git, settings)


def _server(given: argparse.Namespace) -> Server:
    if not given.token and not given.key:
        raise CommandError("give --key (or --token), FLAGSHIP_SERVER_KEY or FLAGSHIP_TOKEN; or a file with --keys")
    return Server(given.url, given.token or given.key, given.organization if given.token else "", given.wait)


def _keys_in(path: Path) -> list[KnownFlag]:
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if text.lstrip().startswith("{") else {"flags": text.split()}
        return [KnownFlag(str(key), is_archived=False, on_branch=None) for key in document["flags"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CommandError(f"{path} has no flags: {error}") from error


def _flags(given: argparse.Namespace, repository: Repository | None = None) -> list[KnownFlag]:
    if given.keys is not None:
        return _keys_in(given.keys)
    return known_flags(_server(given), given.project, repository or Repository())


def _scan(given: argparse.Namespace) -> None:
    checkout = _checkout(given)
    repository = _named(given, repository_of(checkout.root, os.environ, is_git=checkout.is_git))
    if given.upload and not (repository.name and repository.branch):
        raise CommandError("give --repository and --branch: neither the CI job nor git says them")
    if given.upload and given.keys is not None:
        raise CommandError("--upload reports every flag of the project: leave --keys out, or the others would be gone")
    flags = _flags(given, repository)
    matcher = matcher_for(checkout, [flag.key for flag in flags])
    result = scan(checkout, matcher, is_with_text=given.text)
    for note in _left_out(result):
        print(f"openflagship: {note}", file=sys.stderr)  # noqa: T201 - a command talks to the terminal
    if not given.upload:
        _print_scan(given, result)
        return
    # What the server knows as gone needs no date again.
    lost = [flag.key for flag in flags if flag.key not in result.found and flag.on_branch != 0]
    gone: dict[str, Gone] = {}
    if checkout.is_git and given.history:
        try:
            gone = gone_since(checkout, matcher_for(checkout, lost), lost, most_commits=given.history)
        except GitError as error:
            raise CommandError(str(error)) from error
    answer = report(_server(given), given.project, _branch(given, repository), result.found, gone)
    for key in answer.get("gone", []):
        since = gone.get(str(key))
        say(f"{key}\tno reference any more{f', since {since.at:%Y-%m-%d} ({since.revision[:10]})' if since else ''}")
    say(f"{repository.name}@{repository.branch}: {result.references} references to {len(result.found)} flags")


def _named(given: argparse.Namespace, found: Repository) -> Repository:
    return Repository(
        given.repository or found.name,
        given.branch or found.branch,
        found.revision,
        found.url,
        True if given.default_branch else found.is_default,
    )


def _branch(given: argparse.Namespace, repository: Repository) -> dict[str, Any]:
    sent = {
        "repository": repository.name,
        "branch": repository.branch,
        "revision": repository.revision,
        "url": repository.url,
        "host": given.host,
        "linkTemplate": given.link,
        "isDefault": repository.is_default,
    }
    return {name: value for name, value in sent.items() if value not in ("", None)}


def _left_out(result: Scan) -> list[str]:
    return [f"{count} files left out: {reason}" for reason, count in sorted(result.left_out.items())]


def _print_scan(given: argparse.Namespace, result: Scan) -> None:
    if given.json:
        say(
            json.dumps(
                {key: asdict(found) for key, found in sorted(result.found.items())}, indent=2, ensure_ascii=False
            )
        )
        return
    for key, found in sorted(result.found.items(), key=lambda each: (-each[1].count, each[0])):
        say(
            f"{found.count}\t{key}\t{found.places[0].path}:{found.places[0].line}"
            if found.places
            else f"{found.count}\t{key}"
        )
    say(f"{result.references} references to {len(result.found)} flags in {result.files} files, {result.seconds:.1f} s")


def _comment(given: argparse.Namespace) -> None:
    checkout = _checkout(given)
    if not checkout.is_git:
        raise CommandError("a comment compares two commits of git, and this is no checkout of it")
    matcher = matcher_for(checkout, [flag.key for flag in _flags(given)])
    try:
        text = comment.markdown(changes(checkout, matcher, given.base), scan(checkout, matcher).found)
    except GitError as error:
        raise CommandError(f"{error}: is {given.base} fetched?") from error
    if not given.post:
        say(text.removesuffix("\n"))
        return
    environ = os.environ
    number = _PULL.match(environ.get("GITHUB_REF", ""))
    if not environ.get("GITHUB_TOKEN") or not environ.get("GITHUB_REPOSITORY") or number is None:
        raise CommandError("--post needs GITHUB_TOKEN, GITHUB_REPOSITORY and a GITHUB_REF such as refs/pull/7/merge")
    api_url = environ.get("GITHUB_API_URL", "https://api.github.com")
    pull = comment.PullRequest(api_url, environ["GITHUB_REPOSITORY"], int(number[1]), environ["GITHUB_TOKEN"])
    say(f"comment on {pull.repository}#{pull.number} {comment.post(pull, text, wait_seconds=given.wait)}")


def _cleanup(given: argparse.Namespace, client_of: Callable[[argparse.Namespace], FlagShip]) -> None:
    checkout = _checkout(given)
    value = winner_of(given.flag, given.keep, lambda: _document(given, client_of))
    found = scan(checkout, matcher_for(checkout, [given.flag]), is_with_every_place=True)
    proposal = propose(checkout.root, found, Target(given.flag, value, calls=frozenset(given.call)))
    if given.out is None:
        sys.stdout.write(proposal.diff)
        sys.stdout.flush()
    else:
        given.out.write_bytes(proposal.diff.encode("utf-8", "surrogateescape"))
    lines = [f"{left.path}:{left.line}: {left.why}" for left in proposal.left]
    more = len(lines) - _MOST_LEFT
    lines = [f"by hand: {line}" for line in lines[:_MOST_LEFT]]
    lines += [f"by hand: and {more} more"] if more > 0 else []
    lines.append(f"keeps {json.dumps(value)}: {proposal.files} files changed")
    for line in lines:
        print(f"openflagship: {line}", file=sys.stderr)  # noqa: T201 - a command talks to the terminal


def _document(given: argparse.Namespace, client_of: Callable[[argparse.Namespace], FlagShip]) -> dict[str, Any]:
    """The flag as the server has it, over the management API, or by a server key."""
    if given.token:
        scope = {name: value for name in ("project", "environment") if (value := getattr(given, name))}
        return _server(given).call("GET", f"/api/flags/{quote(given.flag, safe='')}?{urlencode(scope)}")
    with client_of(given) as client:
        flag = client.environment.flags.get(given.flag)
    if flag is None:
        raise CommandError(f"{given.url} serves no flag {given.flag!r}: give --keep")
    return dict(flag.document)
