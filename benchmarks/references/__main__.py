"""`openflagship refs scan` over a tree of 10,000 files, and over real repositories, held against `git grep`.

`python -m benchmarks.references --repository GIT_FOLDER …`: each is checked out into a temporary folder, and 200 keys
are chosen among the texts of its own code. Exits with 1 where a place is missing, or the tree takes over 10 s.
"""

import argparse
import hashlib
import io
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from openflagship.references import scanning
from openflagship.references.matching import Matcher
from openflagship.references.names import names_of
from openflagship.references.scanning import Checkout, scan
from openflagship.references.settings import Settings

from benchmarks.world import machine, report

_FILES, _KEYS, _REAL_KEYS = 10_000, 10_000, 200
_MOST_SECONDS = 10.0
_LINES = 200
# Everything that git grep looks at.
_SETTINGS = Settings(most_file_bytes=1 << 30)
_TEXT = re.compile(rb"[\"'`]([A-Za-z][A-Za-z0-9]*(?:[-_.][A-Za-z0-9]+){1,4})[\"'`]")
_CODE = {
    ".py": 'if client.boolean("{key}", user):',
    ".ts": "if (await client.getBooleanValue('{key}', false)) {{",
    ".go": 'if client.Boolean("{key}", user, false) {{',
    ".java": 'if (client.getBooleanValue("{key}", false)) {{',
    ".txt": "the flag `{key}` is on for everybody",
}
_WORDS = ["return", "value", "order", "price", "total", "user", "cart", "index", "self", "request", "state", "error"]

Places = set[tuple[str, str, int]]


def git(folder: Path, *arguments: str, most_status: int = 0) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    if done.returncode > most_status:
        raise SystemExit(done.stderr.decode())
    return done.stdout


def generated(folder: Path) -> tuple[list[str], Places]:
    """Write the tree; returns the keys, and where each was put."""
    chance = random.Random(7)
    keys = [f"team-{number % 50}-feature-{number}" for number in range(_KEYS)]
    places: Places = set()
    for number in range(_FILES):
        suffix = list(_CODE)[number % len(_CODE)]
        path = folder / f"service-{number % 40}" / f"part-{number % 7}" / f"file{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [" ".join(chance.choices(_WORDS, k=6)) for _ in range(_LINES)]
        for line in chance.sample(range(_LINES), 3):
            key = chance.choice(keys)
            lines[line] = _CODE[suffix].format(key=key)
            places.add((key, path.relative_to(folder).as_posix(), line + 1))
        path.write_text("\n".join(lines))
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    return keys, places


def found_by_us(folder: Path, keys: list[str]) -> tuple[Places, int, int, tuple[float, float]]:
    """The places, files and bytes, and the seconds: those that passed, and those of the processor."""
    checkout = Checkout(folder, [], is_git=True, settings=_SETTINGS)
    begun = time.perf_counter(), time.process_time()
    # By key alone, as git grep looks for them.
    matcher = Matcher(name for key in keys for name in names_of(key) if name.text == key and not name.suffixes)
    result = scan(checkout, matcher)
    seconds = time.perf_counter() - begun[0], time.process_time() - begun[1]
    places = {(key, place.path, place.line) for key, found in result.found.items() for place in found.places}
    return places, result.files, result.bytes, seconds


def found_by_git(folder: Path, keys: list[str]) -> Places:
    """What git grep finds, where the key stands on its own: git looks for it inside other words too."""
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as listed:
        listed.write("\n".join(keys) + "\n")
        listed.flush()
        output = git(folder, "grep", "-n", "-I", "-z", "-F", "-f", listed.name, most_status=1)
    whole = {key: re.compile(rb"(?<![\w-])" + re.escape(key.encode()) + rb"(?![\w-])") for key in keys}
    places: Places = set()
    for line in output.split(b"\n"):
        if line.count(b"\0") >= 2:
            path, number, text = line.split(b"\0", 2)
            there = (key for key in keys if key.encode() in text and whole[key].search(text))
            places.update((key, path.decode(), int(number)) for key in there)
    return places


def unpacked(repository: Path, folder: Path) -> Path:
    """The newest commit of a repository, as a checkout of its own."""
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(git(repository, "archive", "--format=tar", "HEAD"))) as archive:
        archive.extractall(folder, filter="tar")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all", "--force")
    return folder


def keys_of(folder: Path) -> list[str]:
    """Texts of the code that could be keys: the same ones at each run, of any kind of file."""
    texts: set[bytes] = set()
    for path in git(folder, "ls-files", "-z").split(b"\0"):
        file = folder / path.decode()
        if path and file.is_file() and file.suffix in {".py", ".ts", ".tsx", ".js", ".go", ".java"}:
            texts.update(_TEXT.findall(file.read_bytes()))
    ordered = sorted(texts, key=lambda text: hashlib.sha256(text).digest())
    return [text.decode() for text in ordered[:_REAL_KEYS]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, action="append", default=[])
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md alone")
    given = parser.parse_args()
    scanning.MOST_PLACES = sys.maxsize
    rows, is_kept = [], True
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        tree.mkdir()
        keys, planted = generated(tree)
        places, files, size, seconds = found_by_us(tree, keys)
        is_kept = places == planted and seconds[0] < _MOST_SECONDS
        rows.append(
            (
                "generated",
                files,
                size // 10**6,
                len(keys),
                len(places),
                len(planted - places),
                len(places - planted),
                seconds,
            )
        )
        for repository in given.repository:
            folder = unpacked(repository, Path(temporary) / repository.parent.name)
            keys = keys_of(folder)
            places, files, size, seconds = found_by_us(folder, keys)
            expected = found_by_git(folder, keys)
            name = repository.parent.name.replace("+", "/")
            rows.append(
                (
                    name,
                    files,
                    size // 10**6,
                    len(keys),
                    len(places),
                    len(expected - places),
                    len(places - expected),
                    seconds,
                )
            )
            is_kept = is_kept and expected <= places
    lines = [
        "## Code references",
        "",
        f"`python -m benchmarks.references`: {machine()}. The generated tree has five languages; the keys of a real",
        "repository are texts of its own code. Missed and too many: against `git grep -n -F`, without lines",
        "that have the key inside a longer word alone. Too many are in files that `.gitattributes` calls binary.",
        "",
        "| code | files | MB | keys | places | missed | too many | seconds | processor |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {name} | {files:,} | {size} | {keys:,} | {found:,} | {missed} | {more} | {wall:.1f} | {cpu:.1f} |"
            for name, files, size, keys, found, missed, more, (wall, cpu) in rows
        ),
    ]
    if given.print:
        print("\n".join(lines))
    else:
        report("references", lines)
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
