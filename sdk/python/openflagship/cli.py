"""The `openflagship` command: look at flags, evaluate, kill, watch changes, save a snapshot, find flags in code."""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from openflagship.client import Context, FileStore, FlagShip
from openflagship.engine import CompiledEnvironment
from openflagship.generate import LANGUAGES, GenerateError, MalformedFlagsError, generate
from openflagship.management import CommandError, Server, say
from openflagship.references import command as references

_LOOK_SECONDS = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, or 1 with a line on stderr."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if given.verbose else logging.ERROR, format="%(message)s")
    try:
        given.run(given)
    except CommandError as error:
        print(f"openflagship: {error}", file=sys.stderr)  # noqa: T201 - a command talks to the terminal
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read has had enough; spare Python's own flush at exit the same error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="openflagship", description=__doc__)
    environ = os.environ
    parser.add_argument("--url", default=environ.get("FLAGSHIP_URL", "http://127.0.0.1:8000"), help="FLAGSHIP_URL")
    parser.add_argument("--stream-url", default=environ.get("FLAGSHIP_STREAM_URL"), help="FLAGSHIP_STREAM_URL")
    parser.add_argument("--key", default=environ.get("FLAGSHIP_SERVER_KEY", ""), help="FLAGSHIP_SERVER_KEY")
    parser.add_argument("--wait", type=float, default=10.0, help="for the platform, in seconds (10)")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what the client is doing")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    flags = commands.add_parser("flags", help="look at flags").add_subparsers(required=True, metavar="COMMAND")
    listing = flags.add_parser("list", help="one line for each flag")
    listing.add_argument("--json", action="store_true", help="whole documents")
    listing.set_defaults(run=_list)

    evaluate = commands.add_parser("evaluate", help="what a flag gives a user, and why; logs no exposure")
    evaluate.add_argument("flag")
    evaluate.add_argument("--user", help="user id")
    evaluate.add_argument("--attributes", default="{}", help='JSON, such as {"country": "DE"}')
    evaluate.set_defaults(run=_evaluate)

    kill = commands.add_parser("kill", help="force a variant at once, or release it (needs a management token)")
    kill.add_argument("flag")
    kill.add_argument("--variant", help="default: the flag's off variant")
    kill.add_argument("--reason", default="")
    kill.add_argument("--release", action="store_true")
    _add_management(kill)
    kill.add_argument("--environment", default=environ.get("FLAGSHIP_ENVIRONMENT", ""), help="FLAGSHIP_ENVIRONMENT")
    kill.set_defaults(run=_kill)

    watch = commands.add_parser("watch", help="a line for each change, until interrupted")
    watch.add_argument("--count", type=int, default=0, help="end after so many")
    watch.set_defaults(run=_watch)

    snapshot = commands.add_parser("snapshot", help="the whole configuration").add_subparsers(
        required=True, metavar="COMMAND"
    )
    save = snapshot.add_parser("save", help="into a file, for bootstrap and offline use")
    save.add_argument("path", type=Path)
    save.set_defaults(run=_save)

    generating = commands.add_parser("generate", help="typed accessors: a flag that is gone is a compile error")
    generating.add_argument("--lang", choices=LANGUAGES, required=True)
    generating.add_argument("--snapshot", type=Path, help="a file of `snapshot save`; default: ask the server")
    generating.add_argument("--out", type=Path, help="default: print it")
    generating.add_argument("--package", default="flags", help="Go's (flags)")
    generating.set_defaults(run=_generate)

    references.add_commands(commands.add_parser("refs", help="where code refers to flags"), _add_management, _client)
    return parser


def _add_management(parser: argparse.ArgumentParser) -> None:
    environ = os.environ
    parser.add_argument("--token", default=environ.get("FLAGSHIP_TOKEN", ""), help="FLAGSHIP_TOKEN")
    parser.add_argument(
        "--organization", default=environ.get("FLAGSHIP_ORGANIZATION", ""), help="FLAGSHIP_ORGANIZATION"
    )
    parser.add_argument("--project", default=environ.get("FLAGSHIP_PROJECT", ""), help="FLAGSHIP_PROJECT")


def _client(given: argparse.Namespace) -> FlagShip:
    if not given.key:
        raise CommandError("give --key or FLAGSHIP_SERVER_KEY: the environment's server key")
    try:
        client = FlagShip(
            given.key, given.url, stream_url=given.stream_url, is_sending_events=False, start_wait_seconds=0
        )
    except ValueError as error:
        raise CommandError(str(error)) from error
    deadline = time.monotonic() + given.wait
    while not client.wait_until_ready(_LOOK_SECONDS) and time.monotonic() < deadline:
        if client.status().connection == "refused":
            break
    if not client.status().is_ready:
        reason = client.status().error
        client.close()
        raise CommandError(f"no configuration from {given.url}: {reason or 'no answer'}")
    return client


def _list(given: argparse.Namespace) -> None:
    with _client(given) as client:
        documents = client.environment.document()["flags"]
    if given.json:
        say(json.dumps(list(documents.values()), indent=2, ensure_ascii=False))
        return
    for key, document in sorted(documents.items()):
        state = "killed" if document.get("killSwitchVariant") else "on" if document.get("enabled") else "off"
        say(f"{key}\t{document.get('type', '?')}\t{state}")


def _evaluate(given: argparse.Namespace) -> None:
    try:
        attributes = json.loads(given.attributes)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"--attributes is no JSON: {error}") from error
    if not isinstance(attributes, dict):
        raise CommandError('--attributes is no object, such as {"country": "DE"}')
    with _client(given) as client:
        answer = client.environment.evaluate(given.flag, Context(given.user, attributes))
    say(json.dumps(answer.to_dict(), ensure_ascii=False))
    if answer.error_code is not None:
        raise CommandError(f"{given.flag}: {answer.error_code}")


def _kill(given: argparse.Namespace) -> None:
    if not given.token:
        raise CommandError("give --token or FLAGSHIP_TOKEN: a management token")
    scope = {name: value for name in ("project", "environment") if (value := getattr(given, name))}
    path = f"/api/flags/{quote(given.flag, safe='')}/kill{'/release' if given.release else ''}"
    body: dict[str, Any] = {"reason": given.reason} if given.reason else {}
    if not given.release:
        body["variant"] = given.variant or _off_variant(given, scope)
    answer = _manage(given, "POST", f"{path}?{urlencode(scope)}", body)
    say(f"{given.flag}: {'released' if given.release else 'killed'} in version {answer.get('configVersion', '?')}")


def _off_variant(given: argparse.Namespace, scope: dict[str, str]) -> str:
    flag = _manage(given, "GET", f"/api/flags/{quote(given.flag, safe='')}?{urlencode(scope)}", None)
    if not isinstance(flag.get("offVariant"), str):
        raise CommandError(f"{given.url} does not say the flag's off variant: give --variant")
    return str(flag["offVariant"])


def _manage(given: argparse.Namespace, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    return Server(given.url, given.token, given.organization, given.wait).call(method, path, body)


def _watch(given: argparse.Namespace) -> None:
    with _client(given) as client:
        watch(client, say, count=given.count)


def watch(client: FlagShip, say: Callable[[str], None], *, count: int = 0) -> None:
    """Print the client's state, then a line for each change. End after `count` changes; 0 means never."""
    changes: queue.SimpleQueue[tuple[CompiledEnvironment, frozenset[str] | None]] = queue.SimpleQueue()
    # Listen first and look then: what changes in between is in what is seen, and is heard once more.
    end = client.on_configuration(lambda keys, environment: changes.put((environment, keys)))
    try:
        seen = client.environment
        say(f"{seen.version}\twatching {len(seen.flags)} flags")
        said = 0
        while True:
            environment, keys = changes.get()
            if not _is_news(environment, keys, seen):
                continue
            for line in _lines(environment, keys):
                say(line)
                said += 1
                if said == count:
                    return
            seen = environment
    finally:
        end()


def _is_news(environment: CompiledEnvironment, keys: frozenset[str] | None, seen: CompiledEnvironment) -> bool:
    if keys is not None and not keys:
        return environment.stale is not seen.stale
    # An urgent kill comes ahead of its version, so that the same version may be another configuration; a whole one may
    # be earlier, where the server went back to a backup.
    return environment is not seen and (keys is None or environment.version >= seen.version)


def _lines(environment: CompiledEnvironment, keys: frozenset[str] | None) -> Iterator[str]:
    version = environment.version
    if keys is None:
        yield f"{version}\t*\t{len(environment.flags)} flags"
    elif not keys:
        yield f"{version}\t{'stale' if environment.stale else 'current again'}"
    else:
        for key in sorted(keys):
            flag = environment.flags.get(key)
            yield f"{version}\t{key}\t{json.dumps(flag and flag.document, ensure_ascii=False)}"


def _save(given: argparse.Namespace) -> None:
    with _client(given) as client:
        environment = client.environment
    body = json.dumps(environment.document(), indent=2, sort_keys=True, ensure_ascii=False).encode()
    try:
        FileStore(given.path).save(body, environment.version)
    except OSError as error:
        raise CommandError(f"{given.path}: {error}") from error
    say(f"{given.path}: version {environment.version}, {len(environment.flags)} flags")


def _generate(given: argparse.Namespace) -> None:
    if given.snapshot is not None:
        try:
            environment = CompiledEnvironment.from_document(json.loads(given.snapshot.read_bytes()))
        except (OSError, ValueError, RecursionError) as error:
            raise CommandError(f"{given.snapshot}: {error}") from error
    else:
        with _client(given) as client:
            environment = client.environment
    try:
        text = generate(given.lang, environment.document()["flags"], package=given.package)
        if given.out is None:
            say(text.removesuffix("\n"))
        else:
            given.out.write_text(text, encoding="utf-8")
    except MalformedFlagsError as error:
        raise CommandError(f"{given.snapshot or given.url}: {error}") from error
    except (GenerateError, OSError, UnicodeError) as error:
        raise CommandError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
