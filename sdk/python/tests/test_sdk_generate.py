"""Typed accessors: what is generated passes each language's own checker, and a flag that is gone does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from documents import flag, snapshot
from openflagship.cli import main
from openflagship.generate import GenerateError, generate
from openflagship.testing import offline

HOSTILE = 'quo"te \\ */ \n ``` ü 😀 \u2028'


def typed(key: str, kind: str, *values: Any, **changes: Any) -> dict[str, Any]:
    variants = [{"key": f"v{number}", "value": value} for number, value in enumerate(values)]
    return flag(key=key, type=kind, variants=variants, defaultVariant="v0", offVariant="v0", **changes)


FLAGS = [
    typed("new-checkout", "boolean", False, True, description=HOSTILE),
    typed("class", "string", HOSTILE, "b"),
    typed("2-limit", "number", 10, 1.5),
    typed("float", "number", 1, 2),
    typed("menu.items", "json", {"text": HOSTILE, "list": [None, True]}, []),
]


@pytest.fixture
def documents() -> dict[str, Any]:
    found: dict[str, Any] = snapshot(*FLAGS)["flags"]
    return found


def test_python__generated__answers_and_passes_mypy_until_a_flag_is_gone(
    documents: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "snapshot.json").write_text(json.dumps(snapshot(*FLAGS)))
    out = tmp_path / "shop_flags.py"
    assert main(["generate", "--lang", "py", "--snapshot", str(tmp_path / "snapshot.json"), "--out", str(out)]) == 0
    space: dict[str, Any] = {}
    exec(compile(out.read_text(), out, "exec"), space)
    flags = space["Flags"](offline({"new-checkout": True}))
    assert (flags.new_checkout("u"), flags.class_("u"), flags.flag_2_limit("u")) == (True, HOSTILE, 10)
    assert flags.menu_items("u") == {"text": HOSTILE, "list": [None, True]}

    use = "from shop_flags import Flags\n\n\ndef look(flags: Flags) -> bool:\n    return flags.{}({!r})\n"
    (tmp_path / "good.py").write_text(use.format("new_checkout", "u"))
    (tmp_path / "bad.py").write_text(use.format("gone", "u"))
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        os.devnull,
        "--cache-dir",
        str(tmp_path / "c"),
    ]
    done = subprocess.run(
        [*command, "shop_flags.py", "good.py", "bad.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert {line.partition(" ")[0] for line in lines} == {"bad.py:5:"}, done.stdout + done.stderr
    assert 'has no attribute "gone"' in done.stdout


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go here")
def test_go__generated__is_vetted_until_a_flag_is_gone(documents: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module shop\n\ngo 1.21\n")
    (tmp_path / "flags").mkdir()
    (tmp_path / "flags" / "flags.go").write_text(generate("go", documents))
    use = 'package main\n\nimport "shop/flags"\n\nfunc main() {{ _ = flags.Flags[string].{} }}\n'
    outcomes = []
    for name in ("NewCheckout", "Gone"):
        (tmp_path / "main.go").write_text(use.format(name))
        environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
        done = subprocess.run(
            ["go", "vet", "./..."],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        outcomes.append((done.returncode == 0, done.stderr))
    assert outcomes[0] == (True, "")
    assert not outcomes[1][0]
    assert "Gone" in outcomes[1][1]


def test_typescript__names_of_the_class_itself__get_a_mark() -> None:
    names = ["client", "then", "constructor"]
    text = generate("ts", snapshot(*(typed(name, "boolean", False, True) for name in names))["flags"])

    assert [name for name in names if f"async {name}_(" in text and f"async {name}(" not in text] == names


@pytest.mark.parametrize("language", ["ts", "go"])
def test_command__text_that_no_file_holds__is_refused_in_one_line(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(snapshot(typed("half", "string", "\ud800", "b"))))
    status = main(["generate", "--lang", language, "--snapshot", str(path), "--out", str(tmp_path / "out")])

    assert status == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_typescript__generated__has_a_method_for_each_flag(documents: dict[str, Any]) -> None:
    text = generate("ts", documents)

    for line in (
        "async newCheckout(context?: Context, defaultValue: boolean = false): Promise<boolean> {",
        'return await this.client.getBooleanValue("new-checkout", defaultValue, context);',
        "async flag2Limit(context?: Context, defaultValue: number = 10): Promise<number> {",
    ):
        assert line in text


@pytest.mark.parametrize("language", ["py", "ts", "go"])
def test_names__that_two_flags_would_share__are_refused(language: str) -> None:
    flags = snapshot(typed("a-b", "boolean", False, True), typed("a.b", "boolean", False, True))["flags"]
    with pytest.raises(GenerateError, match="rename"):
        generate(language, flags)
