"""What FlagShip is made of: a bill of materials, the licences, no secret among the files, and known faults of packages.

`make supply` runs it. It writes sbom.cdx.json (CycloneDX) and licences.md into the folder given, and ends with 1 where
a licence does not suit, a file seems to hold a secret, or (with --audit) a package has a known fault.
"""

import argparse
import json
import re
import subprocess
import sys
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from detect_secrets.core.scan import get_plugins, scan_file
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
REQUIREMENTS = ROOT / "requirements.txt"
# What may be shipped beside Apache-2.0 code. LGPL is for psycopg: it is imported and replaceable.
LICENCES = re.compile(r"MIT|BSD|Apache|MPL|Mozilla|PSF|Python Software|ISC|ZPL|Unlicense|LGPL|Zlib|CC0|CNRI")
# Examples, defaults of development, and words that only look like a secret: a file, and the SHA-1 of each such word.
KNOWN = ROOT / ".ci" / "known_secrets.json"
NOT_READ = re.compile(r"^requirements.*\.txt$|package-lock\.json$|^\.ci/known|^sdk/contract/|\.(png|svg|ico|woff2|gz)$")
# Tests are full of invented passwords; there only the forms that a provider gives its keys count.
IN_TESTS = re.compile(r"(^|/)tests?/|(^|/)testing(/|\.py$)|(^|/)conftest\.py$")
GUESSES = {"KeywordDetector", "Base64HighEntropyString", "HexHighEntropyString", "BasicAuthDetector"}
PROVIDERS = {
    "ArtifactoryDetector",
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "JwtTokenDetector",
    "MailchimpDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SendGridDetector",
    "SlackDetector",
    "SquareOAuthDetector",
    "StripeDetector",
    "TelegramBotTokenDetector",
    "TwilioKeyDetector",
}
ADVISORIES = "https://pypi.org/pypi/pip/json"


def bill_of_materials(target: Path) -> list[str]:
    """Write the CycloneDX document, checked against its schema. Returns what is missing of the locked packages."""
    command = [BIN / "cyclonedx-py", "requirements", REQUIREMENTS, "--output-reproducible", "-o", target]
    subprocess.run(command, check=True, capture_output=True)
    named = {component["name"].lower() for component in json.loads(target.read_text())["components"]}
    return [f"{name} is not in the bill of materials" for name in sorted(locked() - named)]


def licences(target: Path) -> list[str]:
    """Write a table of what is shipped. Returns the packages whose licence is not one of LICENCES."""
    command = [BIN / "pip-licenses", "--from=mixed", "--with-urls", "--format=json", "--packages", *sorted(locked())]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    lines = ["| package | version | licence |", "|---|---|---|"]
    lines += [f"| [{row['Name']}]({row['URL']}) | {row['Version']} | {row['License']} |" for row in rows]
    target.write_text("\n".join(lines) + "\n")
    return [f"{row['Name']} is under {row['License']}" for row in rows if not LICENCES.search(row["License"])]


def secrets() -> list[str]:
    """Returns where a file of the repository seems to hold a secret that is not known to be none."""
    known = json.loads(KNOWN.read_text())
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = [path for path in listed.rstrip("\0").split("\0") if not NOT_READ.search(path)]
    of_a_provider = _with_forms_of(PROVIDERS, paths)
    wrong = []
    for names, chosen in (
        (GUESSES, [path for path in paths if not IN_TESTS.search(path)]),
        (PROVIDERS, of_a_provider),
    ):
        with _detectors(names):
            for path in chosen:
                for secret in scan_file(str(ROOT / path)):
                    if secret.secret_hash not in known.get(path, ()):
                        seen = f"{path}:{secret.line_number} looks like a secret: {secret.type}"
                        wrong.append(f"{seen}. If it is none, add {secret.secret_hash} to {KNOWN.name}")
    return wrong


def _detectors(names: set[str]) -> AbstractContextManager[Any]:
    return transient_settings({"plugins_used": [{"name": name} for name in sorted(names)]})


def _with_forms_of(names: set[str], paths: list[str]) -> list[str]:
    """The files that one of the detectors' own expressions fits: looking at each line by itself takes a minute more."""
    with _detectors(names):
        forms = [re.compile(form.pattern, form.flags | re.MULTILINE) for one in get_plugins() for form in one.denylist]
    found = []
    for path in paths:
        text = (ROOT / path).read_text(errors="replace")
        if any(form.search(text) for form in forms):
            found.append(path)
    return found


def faults() -> list[str]:
    """Ask the advisory database about the locked packages. Returns what it knows; says where it cannot be asked."""
    try:
        urllib.request.urlopen(ADVISORIES, timeout=10).close()
    except OSError as error:
        print(f"NOT RUN: pip-audit, because the advisory database cannot be reached ({error})")
        return []
    command = [BIN / "pip-audit", "--require-hashes", "--disable-pip", "-r", REQUIREMENTS, "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [done.stdout.strip() or done.stderr.strip()]


def locked() -> set[str]:
    """The packages of requirements.txt."""
    return set(re.findall(r"^([A-Za-z0-9._-]+)==", REQUIREMENTS.read_text(), re.MULTILINE))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--audit", action="store_true", help="ask the advisory database too")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    wrong = [
        *bill_of_materials(options.folder / "sbom.cdx.json"),
        *licences(options.folder / "licences.md"),
        *secrets(),
        *(faults() if options.audit else []),
    ]
    print("\n".join(wrong) or f"Supply chain: nothing wrong; see {options.folder}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
