"""Taking a flag out of code: the diff applies, the tests of the code pass after it, and what is left is named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openflagship.cli import main
from openflagship.management import CommandError
from openflagship.references.cleanup import javascript, python
from openflagship.references.cleanup.flags import Target
from openflagship.references.cleanup.proposal import unified
from openflagship.references.cleanup.winner import winner_of
from small_checkout import git, shop

__all__ = ["shop"]

KEY = "new-checkout"


def passes(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cleanup__of_the_example__applies_and_its_tests_pass(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diff = shop.parent / "cleanup.diff"
    command = ["refs", "cleanup", KEY, "--path", str(shop), "--keep", "true", "--out", str(diff)]

    assert main(command) == 0
    said = capsys.readouterr().err
    assert git(shop, "status", "--porcelain") == "", "nothing is written to the checkout"
    git(shop, "apply", "--check", str(diff))
    git(shop, "apply", str(diff))

    passes(shop, sys.executable, "-W", "error", "-B", "check_checkout.py")
    if node := shutil.which("node"):
        passes(shop / "web", node, "check_cart.mjs")
    assert (shop / "shop" / "checkout.py").read_text() == EXPECTED
    assert git(shop, "diff", "--name-only").split() == ["shop/checkout.py", "web/cart.mjs"]
    for left in (
        "cmd/main.go:4: this language is left to you",
        "cmd/Cart.java:3: this language is left to you",
        "deploy/values.yaml:3: this language is left to you",
        "shop/flags.py:3: a constant holds the key",
        "shop/checkout.py:3: nothing uses the import NEW_CHECKOUT any more",
    ):
        assert f"by hand: {left}" in said
    assert "keeps true: 2 files changed" in said


EXPECTED = '''\
"""Paying for a cart."""

from shop.flags import FREE_SHIPPING, NEW_CHECKOUT, client


def total(cart, user):
    """The sum of a cart, with what the checkout adds."""
    shipping = 0 if client.boolean(FREE_SHIPPING, user) else 5
    return round(sum(cart), 2) + shipping


def steps(user, is_guest):
    """The pages of the checkout."""
    if is_guest:
        pages = ["address", "pay"]
    else:
        pages = ["pay"]
    return pages


def title(user):
    """What stands above the page."""
    return "Checkout"


def note(user, lines):
    """A text of several lines, whose white space is part of it."""
    if lines:
        text = """
        Thank you.
    """
        return text.strip() + str(len(lines))
    return ""
'''


@pytest.mark.parametrize("language", [python, javascript], ids=["python", "javascript"])
def test_file__that_cannot_be_read__stays_and_is_named(language: Any) -> None:
    cleaned = language.clean('if (c.boolean("new-checkout"', Target(KEY, value=True))

    assert cleaned.text == 'if (c.boolean("new-checkout"'
    assert len(cleaned.by_hand) == 1


def test_text__kept_value__is_a_literal_of_the_language() -> None:
    target = Target(KEY, "rosé")
    assert python.clean('x = c.string("new-checkout", u)\n', target).text == "x = 'rosé'\n"
    assert javascript.clean('x = c.string("new-checkout", u)\n', target).text == 'x = "rosé"\n'
    assert python.clean('if c.string("new-checkout", u) == "rosé":\n    a()\n', target).text == "a()\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [("a\nb", "a\nc"), ("a\nb", "a\n"), ("a\r\nb\r\n", "b\r\n"), ("a\x0cb\nc\n", "c\n"), ("a\n", "")],
    ids=["no-end", "end-goes", "crlf", "form-feed", "empty"],
)
def test_diff__of_odd_ends_of_lines__is_one_that_git_takes(tmp_path: Path, before: str, after: str) -> None:
    (tmp_path / "ä b.txt").write_bytes(before.encode())
    git(tmp_path, "init", "--quiet")
    (tmp_path / "x.diff").write_bytes(unified("ä b.txt", before, after).encode())
    git(tmp_path, "apply", "x.diff")

    assert (tmp_path / "ä b.txt").read_bytes() == after.encode()


VARIANTS = [{"key": "control", "value": False}, {"key": "treatment", "value": True}]


def document(**changes: Any) -> dict[str, Any]:
    return {"variants": VARIANTS, "enabled": True, "defaultVariant": "control", "offVariant": "control", **changes}


@pytest.mark.parametrize(
    ("keep", "changes", "value"),
    [
        (None, {"allocation": [[0, 4000, "treatment"], [4000, 10000, "treatment"]]}, True),
        (None, {"rollout": [{"variant": "treatment", "percent": 100.0}, {"variant": "control", "percent": 0}]}, True),
        (None, {"enabled": False, "rules": [{}]}, False),
        (None, {}, False),
        ("treatment", {"rules": [{}]}, True),
        ("false", {}, False),
        (None, {"allocation": [[0, 9999, "treatment"]]}, None),
        (None, {"rules": [{}]}, None),
        (None, {"targets": [{"variant": "treatment", "userIds": ["u"]}]}, None),
        (None, {"killSwitchVariant": "control"}, None),
        (None, {"status": "archived"}, None),
        ("no-such", {}, None),
    ],
)
def test_winner__is_what_everybody_gets_or_has_to_be_named(
    keep: str | None, changes: dict[str, Any], value: bool | None
) -> None:
    if value is None:
        with pytest.raises(CommandError, match=r"give --keep|use one of control, treatment"):
            winner_of(KEY, keep, lambda: document(**changes))
    else:
        assert winner_of(KEY, keep, lambda: document(**changes)) is value
