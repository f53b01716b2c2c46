"""The console's scripts, by Node's own test runner; the tests are `flagship/tests/scripts/*.test.mjs`."""

import subprocess

import pytest

from flagship.tests.source_files import ROOT

SCRIPTS = sorted(path.name for path in (ROOT / "flagship/static/flagship").glob("*.js"))


def test_scripts__every_one__has_tests_or_is_tested_in_a_browser_alone():
    in_browsers_alone = {"flag-form.js", "frame.js", "live-preview.js", "segment-form.js", "tree-builder.js"}
    tests = "".join(path.read_text() for path in (ROOT / "flagship/tests/scripts").glob("*.test.mjs"))
    assert [name for name in SCRIPTS if name not in in_browsers_alone and f'"{name}"' not in tests] == []


@pytest.mark.node
def test_scripts__all_their_tests__pass():
    # Where lint has run the packages are there already.
    subprocess.run(["make", "node_modules/.installed"], cwd=ROOT, check=True, capture_output=True, timeout=600)
    done = subprocess.run(
        ["npm", "test", "--silent"], cwd=ROOT, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
