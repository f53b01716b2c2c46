"""What a clean-up leaves to a person, because it may be another thing than it seems: names, methods, JSX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from openflagship.cli import main
from openflagship.references.cleanup import javascript, python
from openflagship.references.cleanup.flags import Target
from openflagship.references.cleanup.proposal import Proposal, propose
from openflagship.references.scanning import Found, Place, Scan

KEY = "new-checkout"
ASKS = "if c.boolean(KEY, u):\n    a()\n"
ASKS_JS = "if (c.isEnabled(KEY, u)) a();\n"
OTHER = 'KEY = "other"\n'
OURS = 'KEY = "new-checkout"\n'
OURS_JS = 'export const KEY = "new-checkout";\n'


def proposed(root: Path, files: Mapping[str, str]) -> Proposal:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    scan = Scan({KEY: Found(len(files), [Place(path, 1, KEY) for path in files])})
    return propose(root, scan, Target(KEY, value=True))


@pytest.mark.parametrize(
    "files",
    [
        {"a.py": 'def f():\n    KEY = "new-checkout"\n\ndef g():\n    KEY = "other"\n    return c.boolean(KEY, u)\n'},
        {"a.py": OURS + OTHER + ASKS},
        {"a.py": OURS + "def f(KEY):\n    return c.boolean(KEY, u)\n"},
        {"a.py": OURS + "from b import *\n" + ASKS},
        {"a.py": OURS, "b.py": OTHER + ASKS},
        {"a.py": OURS, "b.py": "from d import KEY\n" + ASKS},
        {"keys.py": OURS, "b.py": "from keys import KEY\nfrom d import *\n" + ASKS},
        {"a.py": OURS, "b.py": "import d\nx = c.boolean(d.KEY, u)\n"},
        {"keys.py": OURS, "x/keys.py": OTHER, "x/b.py": "from keys import KEY\n" + ASKS},
        {"a.ts": f'function f() {{\n  const KEY = "new-checkout";\n}}\nconst KEY = "other";\n{ASKS_JS}'},
        {"a.ts": f'let KEY = "new-checkout";\nKEY = "other";\n{ASKS_JS}'},
        {"a.ts": 'const KEY = "new-checkout";\nconst f = ({ KEY }) => c.isEnabled(KEY, u);\n'},
        {"a.ts": f'const KEY = "new-checkout" + suffix;\n{ASKS_JS}'},
        {"a.ts": OURS_JS, "b.ts": f'const KEY = "other";\n{ASKS_JS}'},
        {"a.ts": OURS_JS, "b.ts": f'import {{ KEY }} from "./d";\n{ASKS_JS}'},
        {"a.ts": OURS_JS, "b.ts": "x = c.isEnabled(d.KEY, u);\n"},
    ],
    ids=[
        "py-function", "py-twice", "py-parameter", "py-star", "py-other-file", "py-other-module",
        "py-star-beside-import", "py-attribute", "py-two-modules", "js-function", "js-twice", "js-parameter",
        "js-longer", "js-other-file", "js-other-module", "js-attribute",
    ],
)  # fmt: skip
def test_name__that_may_hold_another_key__is_left_to_a_person(tmp_path: Path, files: dict[str, str]) -> None:
    proposal = proposed(tmp_path, files)

    assert proposal.diff == ""
    asking = [path for path, text in files.items() if "c.boolean(" in text or "c.isEnabled(" in text]
    assert {(left.path, left.line) for left in proposal.left} >= {
        (path, number)
        for path in asking
        for number, line in enumerate(files[path].split("\n"), start=1)
        if "c.boolean(" in line or "c.isEnabled(" in line
    }


@pytest.mark.parametrize(
    ("files", "changed"),
    [
        ({"a.py": OURS + ASKS}, "a.py"),
        ({"shop/keys.py": OURS, "shop/b.py": "from shop.keys import KEY\n" + ASKS}, "shop/b.py"),
        ({"lib/shop/keys.py": OURS, "lib/shop/x/b.py": "from ..keys import KEY as K\nc.boolean(K, u)\n"}, "x/b.py"),
        ({"a.ts": f'const KEY: string = "new-checkout" as const\n{ASKS_JS}'}, "a.ts"),
        ({"x/keys.ts": OURS_JS, "b.ts": f'import {{ KEY }} from "./x/keys.js";\n{ASKS_JS}'}, "b.ts"),
        ({"keys.js": OURS_JS, "b.js": 'const { KEY: K } = require("./keys");\nc.isEnabled(K, u);\n'}, "b.js"),
    ],
    ids=["py-own", "py-imported", "py-renamed", "js-own", "js-imported", "js-required"],
)  # fmt: skip
def test_constant__of_the_file_or_imported_by_name__is_the_key(
    tmp_path: Path, files: dict[str, str], changed: str
) -> None:
    proposal = proposed(tmp_path, files)

    assert proposal.files == 1
    assert f"{changed}\n" in proposal.diff


def test_method__of_the_accessors_name__is_named_and_stays() -> None:
    target = Target(KEY, value=True)
    found = python.clean("a()\nshop.new_checkout(cart)\n", target)
    other = javascript.clean("a();\nshop.newCheckout(cart);\n", target)

    assert (found.text, [each.line for each in found.by_hand]) == ("a()\nshop.new_checkout(cart)\n", [2])
    assert (other.text, [each.line for each in other.by_hand]) == ("a();\nshop.newCheckout(cart);\n", [2])


CALL = 'useBooleanFlagValue("new-checkout", false)'


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("return CALL ? <p>Pay: now</p> : <p>Pay</p>;\n", "return true ? <p>Pay: now</p> : <p>Pay</p>;\n", [1]),
        ("const on = CALL;\nreturn <p>on {on}</p>;\n", "const on = true;\nreturn <p>on {on}</p>;\n", [1]),
        (
            "function f() {\n  if (CALL) {\n    return <p>;</p>;\n  }\n  return null;\n}\n",
            "function f() {\n  if (true) {\n    return <p>;</p>;\n  }\n  return null;\n}\n",
            [2],
        ),
        (
            "function f() {\n  if (CALL) {\n    return null;\n  }\n  return <p>a: b</p>;\n}\n",
            "function f() {\n  if (true) {\n    return null;\n  }\n  return <p>a: b</p>;\n}\n",
            [2],
        ),
        ("x = <p>{CALL || <b>;</b>}</p>;\n", "x = <p>{true || <b>;</b>}</p>;\n", [1]),
        ("x = <p>{CALL && <b/>}</p>;\n", "x = <p>{<b/>}</p>;\n", []),
        ('x = <p>{CALL ? "a" : "b"}</p>;\n', 'x = <p>{"a"}</p>;\n', []),
        ("while (i++ < n) {\n  if (CALL) g(i < n);\n}\n", "while (i++ < n) {\n  g(i < n);\n}\n", []),
        ("y = CALL ? a : b!\ng()\n", "y = true ? a : b!\ng()\n", [1]),
        ("y = CALL ? a : b as X<Y>\ng()\n", "y = true ? a : b as X<Y>\ng()\n", [1]),
    ],
    ids=["choice", "variable", "branch", "rest", "or", "and", "choice-inside", "comparison", "not-null", "generic"],
)
def test_jsx_or_an_unclear_end__in_what_would_be_folded__is_left_to_a_person(
    before: str, after: str, lines: list[int]
) -> None:
    cleaned = javascript.clean(before.replace("CALL", CALL), Target(KEY, value=True))

    assert (cleaned.text, [each.line for each in cleaned.by_hand]) == (after, lines)


def test_places__more_than_are_sent_to_a_server__are_all_cleaned_or_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.py").write_text('x = ("new-checkout")\n' * 201)
    (tmp_path / "b.py").write_text('if c.boolean("new-checkout", u):\n    a()\n')

    assert main(["refs", "cleanup", KEY, "--keep", "true", "--path", str(tmp_path)]) == 0

    said = capsys.readouterr()
    assert "+++ b/b.py" in said.out
    assert said.err.count("by hand: a.py:") == 200
    assert "by hand: and 1 more" in said.err


def test_python__that_would_not_parse_any_more__stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(source: python.Source, value: object) -> list[python.Edit]:
        return [python.Edit(0, 1, "(")]

    monkeypatch.setattr(python, "fold_once", broken)
    text = 'a()\nc.boolean("new-checkout", u)\n'

    cleaned = python.clean(text, Target(KEY, value=True))

    assert cleaned.text == text
    assert "does not parse" in cleaned.by_hand[0].why
