"""What becomes of the code around a flag, form by form: before, with the value true, and with false."""

from __future__ import annotations

import pytest
from openflagship.accessors import possible_names
from openflagship.references.cleanup import javascript, python
from openflagship.references.cleanup.flags import Target

KEY = "new-checkout"
F = 'c.boolean("new-checkout", u)'
PYTHON = [
    ("if-only", f"if {F}:\n    a()\n", "a()\n", ""),
    ("if-else", f"if {F}:\n    # why\n    a()\nelse:\n    b()\nz()\n", "# why\na()\nz()\n", "b()\nz()\n"),
    ("elif", f"if x:\n    a()\nelif {F}:\n    b()\n", "if x:\n    a()\nelse:\n    b()\n", "if x:\n    a()\n"),
    (
        "before-elif",
        f"if {F}:\n    a()\nelif y:\n    b()\nelse:\n    c()\n",
        "a()\n",
        "if y:\n    b()\nelse:\n    c()\n",
    ),
    ("block-alone", f"def f():\n    if {F}:\n        return 1\n", "def f():\n    return 1\n", "def f():\n    pass\n"),
    (
        "rest",
        f"def f():\n    if {F}:\n        return 1\n    return 2\n",
        "def f():\n    return 1\n",
        "def f():\n    return 2\n",
    ),
    (
        "rest-yields",
        f"def f():\n    if {F}:\n        return\n    yield 2\n",
        "def f():\n    return\n    yield 2\n",
        "def f():\n    yield 2\n",
    ),
    ("one-line", f"if {F}: a()\nelse: b()\n", "a()\n", "b()\n"),
    ("choice", f"x = 1 + (a if {F} else b + 1)\n", "x = 1 + (a)\n", "x = 1 + (b + 1)\n"),
    ("not", f"x = not {F}\n", "x = False\n", "x = True\n"),
    ("and", f"if y and {F} and z:\n    a()\n", "if y and z:\n    a()\n", ""),
    ("or", f"if (y or {F}):\n    a()\n", "a()\n", "if (y):\n    a()\n"),
    ("call-before", f"if y() or {F}:\n    a()\n", "if y() or True:\n    a()\n", "if y():\n    a()\n"),
    ("value-of-and", f"x = y and {F}\n", "x = y and True\n", "x = y and False\n"),
    ("argument", f"g(on={F})\n", "g(on=True)\n", "g(on=False)\n"),
    ("await", f"x = a if await {F} else b\n", "x = a\n", "x = b\n"),
    (
        "variable",
        f"def f():\n    on = {F}\n    return g(on), not on\n",
        "def f():\n    return g(True), False\n",
        "def f():\n    return g(False), True\n",
    ),
    (
        "variable-twice",
        f"def f():\n    on = {F}\n    on = on or y\n    return on\n",
        "def f():\n    on = True\n    on = on or y\n    return on\n",
        "def f():\n    on = False\n    on = on or y\n    return on\n",
    ),
    ("keyword", "if c.is_enabled(key='new-checkout'):\n    a()\n", "a()\n", ""),
    ("accessor", "if my_flags.new_checkout(u):\n    a()\n", "a()\n", ""),
    ("marked-accessor", f"if flags.{possible_names('py', KEY)[1]}(u):\n    a()\n", "a()\n", ""),
    (
        "method-of-that-name",
        f"def f(self):\n    if {F}:\n        return self.new_checkout(cart)\n    return 2\n",
        "def f(self):\n    return self.new_checkout(cart)\n",
        "def f(self):\n    return 2\n",
    ),
    ("text-of-lines", f'if {F}:\n    x = """\n    in\n  """\n', 'x = """\n    in\n  """\n', ""),
]


@pytest.mark.parametrize(("name", "before", "on", "off"), PYTHON, ids=[row[0] for row in PYTHON])
def test_python__each_form__keeps_what_the_value_gives(name: str, before: str, on: str, off: str) -> None:
    is_await = "await" in before
    head = "async def main():\n    " if is_await else ""
    assert python.clean(head + before, Target(KEY, value=True)).text == head + on
    assert python.clean(head + before, Target(KEY, value=False)).text == head + off


G = 'c.getBooleanValue("new-checkout", false)'
JAVASCRIPT = [
    ("if-only", f"if ({G}) {{\n  a();\n}}\nz();\n", "a();\nz();\n", "z();\n"),
    ("if-else", f"if ({G}) {{\n  // why\n  a();\n}} else {{\n  b();\n}}\n", "// why\na();\n", "b();\n"),
    (
        "else-if",
        f"if (x) {{\n  a();\n}} else if ({G}) {{\n  b();\n}} else {{\n  d();\n}}\n",
        "if (x) {\n  a();\n} else {\n  b();\n}\n",
        "if (x) {\n  a();\n} else {\n  d();\n}\n",
    ),
    (
        "last-else-if",
        f"if (x) {{\n  a();\n}} else if (!{G}) {{\n  b();\n}}\n",
        "if (x) {\n  a();\n}\n",
        "if (x) {\n  a();\n} else {\n  b();\n}\n",
    ),
    ("no-braces", f"if ({G}) a();\nelse b();\n", "a();\n", "b();\n"),
    (
        "rest",
        f"function f() {{\n  if ({G}) {{\n    return 1;\n  }}\n  return 2;\n}}\n",
        "function f() {\n  return 1;\n}\n",
        "function f() {\n  return 2;\n}\n",
    ),
    (
        "case",
        f"switch (x) {{\n  case 1:\n    if ({G}) return 1;\n  case 2:\n    z();\n}}\n",
        "switch (x) {\n  case 1:\n    return 1;\n  case 2:\n    z();\n}\n",
        "switch (x) {\n  case 1:\n  case 2:\n    z();\n}\n",
    ),
    (
        "names-meet",
        f"const y = 1;\nif ({G}) {{\n  const y = 2;\n  g(y);\n}}\n",
        "const y = 1;\n{\n  const y = 2;\n  g(y);\n}\n",
        "const y = 1;\n",
    ),
    (
        "name-of-a-parameter",
        f"function f(y): void {{\n  if ({G}) {{\n    let [x, y] = z, w;\n    g(y);\n  }}\n}}\n",
        "function f(y): void {\n  {\n    let [x, y] = z, w;\n    g(y);\n  }\n}\n",
        "function f(y): void {\n}\n",
    ),
    (
        "name-of-an-import",
        f"import {{ y }} from 'y';\nif ({G}) {{\n  let x = 1, y = 2;\n  g(y);\n}}\n",
        "import { y } from 'y';\n{\n  let x = 1, y = 2;\n  g(y);\n}\n",
        "import { y } from 'y';\n",
    ),
    (
        "name-elsewhere",
        f"function f(y) {{}}\nfunction h() {{\n  if ({G}) {{\n    const y = 1;\n    g(y, z.y);\n  }}\n  x.y();\n}}\n",
        "function f(y) {}\nfunction h() {\n  const y = 1;\n  g(y, z.y);\n  x.y();\n}\n",
        "function f(y) {}\nfunction h() {\n  x.y();\n}\n",
    ),
    ("choice", f"const x = {G} ? y ? 1 : 2 : 3;\n", "const x = y ? 1 : 2;\n", "const x = 3;\n"),
    (
        "choice-bound",
        f"const x = 1 + {G} ? 2 : 3;\n",
        "const x = 1 + true ? 2 : 3;\n",
        "const x = 1 + false ? 2 : 3;\n",
    ),
    ("and", f"if (y && {G} && z) w();\n", "if (y && z) w();\n", "if (y && false && z) w();\n"),
    ("and-first", f"f({G} && g(y));\n", "f(g(y));\n", "f(false);\n"),
    ("equal", f"if ({G} === true) w();\n", "w();\n", ""),
    ("await", f"const on = await {G};\nif (!on) {{ a(); }}\n", "", "a();\n"),
    ("typed", f"const on: boolean = {G}\nuse(on)\n", "use(true)\n", "use(false)\n"),
    (
        "short-hand",
        f"const on = {G};\nuse({{ on }});\n",
        "const on = true;\nuse({ on });\n",
        "const on = false;\nuse({ on });\n",
    ),
    (
        "parameter",
        f"const on = {G};\nconst f = (on) => on;\n",
        "const on = true;\nconst f = (on) => on;\n",
        "const on = false;\nconst f = (on) => on;\n",
    ),
    ("exported", f"export const on = {G};\n", "export const on = true;\n", "export const on = false;\n"),
    ("chain", 'if (this.a.b(x)!.c?.isEnabled("new-checkout", u)) w();\n', "w();\n", ""),
    (
        "method-of-that-name",
        f"if ({G}) api.newCheckout(cart);\nelse this.flags!.get().newCheckout(cart);\n",
        "api.newCheckout(cart);\n",
        "this.flags!.get().newCheckout(cart);\n",
    ),
    ("accessor", "if (this.flags()!.newCheckout(u)) w();\n", "w();\n", ""),
    ("marked-accessor", f"if (flags.{possible_names('ts', KEY)[1]}(u)) w();\n", "w();\n", ""),
    (
        "operator-before-the-line",
        f"x =\n  isStaff ||\n  {G}\n  ? a : b;\n",
        "x =\n  isStaff ||\n  true\n  ? a : b;\n",
        "x =\n  isStaff\n  ? a : b;\n",
    ),
    (
        "operator-after-the-line",
        f"const on = {G}\n  === other;\nuse(on);\n",
        "const on = true\n  === other;\nuse(on);\n",
        "const on = false\n  === other;\nuse(on);\n",
    ),
    ("line-without-operator", f"x = y\n{G} ? a() : b()\n", "x = y\na()\n", "x = y\nb()\n"),
    (
        "other-text",
        f"const t = `if (x) {{ ${{`}}`}} `;\nif ({G}) w(/[}}/]'/);\n",
        "const t = `if (x) { ${`}`} `;\nw(/[}/]'/);\n",
        "const t = `if (x) { ${`}`} `;\n",
    ),
]


@pytest.mark.parametrize(("name", "before", "on", "off"), JAVASCRIPT, ids=[row[0] for row in JAVASCRIPT])
def test_javascript__each_form__keeps_what_the_value_gives(name: str, before: str, on: str, off: str) -> None:
    assert javascript.clean(before, Target(KEY, value=True)).text == on
    assert javascript.clean(before, Target(KEY, value=False)).text == off
