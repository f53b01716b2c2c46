"""Typed accessors: what is generated passes each language's own checker, and a flag that is gone does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from documents import flag, snapshot
from openflagship.accessors import names_for
from openflagship.cli import main
from openflagship.generate import GenerateError, generate
from openflagship.testing import offline

GO_SDK = Path(__file__).resolve().parents[2] / "go"
HOSTILE = 'quo"te \\ */ \n ``` ü 😀 \u2028 \ufeff'


def typed(key: str, kind: str, *values: Any, **changes: Any) -> dict[str, Any]:
    variants = [{"key": f"v{number}", "value": value} for number, value in enumerate(values)]
    return flag(key=key, type=kind, variants=variants, defaultVariant="v0", offVariant="v0", **changes)


FLAGS = [
    typed("new-checkout", "boolean", False, True, description=HOSTILE),
    typed("class", "string", HOSTILE, "b"),
    typed("2-limit", "number", 10, 1.5),
    typed("float", "number", 1, 2),
    typed("menu.items", "json", {"text": HOSTILE, "list": [None, True]}, []),
    # Both would be called the same.
    typed("a-b", "boolean", False, True),
    typed("a.b", "boolean", False, True),
    # The languages themselves give these a meaning.
    *(typed(key, "boolean", False, True) for key in ("read-byte", "scan", "unmarshalXML", "to-string", "then")),
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
    flags = space["Flags"](offline({"new-checkout": True, "a.b": True}))
    assert (flags.a_b__d44362d6("u"), flags.a_b__2e7336dc("u")) == (False, True)
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


GO_PROGRAM = """
package main

import (
	"encoding/json"
	"os"

	"openflagship"
	"shop/flags"
)

func main() {
	bootstrap, _ := os.ReadFile("snapshot.json")
	client, err := openflagship.New("", "https://flags.invalid", openflagship.Options{
		Mode: openflagship.Offline, Bootstrap: bootstrap,
	})
	if err != nil {
		panic(err)
	}
	var on flags.Flags[openflagship.User] = flags.New(client)
	user := openflagship.User{ID: "user-1"}
	given := []any{on.NewCheckout(user), on.Class(user), on.Flag2Limit(user), on.MenuItems(user), on.ReadByte_(user)}
	if err := json.NewEncoder(os.Stdout).Encode(given); err != nil {
		panic(err)
	}
}
"""


@pytest.mark.go
@pytest.mark.xdist_group("go")
def test_go__generated__is_vetted_with_the_sdk_and_answers_until_a_flag_is_gone(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(
        f"module shop\n\ngo 1.22\n\nrequire openflagship v0.0.0\n\nreplace openflagship => {GO_SDK}\n"
    )
    (tmp_path / "flags").mkdir()
    # What is served is another value than the default.
    configured = snapshot(flag(key="new-checkout", defaultVariant="treatment", offVariant="control"), *FLAGS[1:])
    (tmp_path / "snapshot.json").write_text(json.dumps(configured))
    (tmp_path / "flags" / "flags.go").write_text(generate("go", configured["flags"]))
    (tmp_path / "main.go").write_text(GO_PROGRAM.lstrip())

    def go(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
        return subprocess.run(
            arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    assert go("gofmt", "-l", ".").stdout == ""
    vetted = go("go", "vet", "./...")
    assert (vetted.returncode, vetted.stderr) == (0, "")
    ran = go("go", "run", ".")
    assert json.loads(ran.stdout) == [True, HOSTILE, 10, {"text": HOSTILE, "list": [None, True]}, False], ran.stderr
    (tmp_path / "main.go").write_text(GO_PROGRAM.lstrip().replace("on.NewCheckout", "on.Gone"))
    gone = go("go", "vet", "./...")
    assert gone.returncode != 0
    assert "on.Gone undefined" in gone.stderr


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
def test_names__that_flags_would_share__all_have_a_mark_that_other_flags_leave_alone(language: str) -> None:
    two = names_for(language, ["a-b", "a.b"])
    four = names_for(language, ["0", "a-b", "a.b", "a_b", "c"])

    assert len(set(four.values())) == 5
    assert {key: four[key] for key in two} == two
    # A flag that comes later never takes over the name that stands in code for another.
    assert names_for(language, ["a.b"])["a.b"] not in four.values()
    text = generate(language, snapshot(*(typed(key, "boolean", False, True) for key in four))["flags"])
    assert [text.count(f" {name}(") for name in four.values()] == [1] * 5
    assert text.count("Other flags would have the same name") == 3


def test_names__with_short_marks_that_are_made_alike__have_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openflagship.accessors._MARK_DIGITS", (0, 64))

    assert len(set(names_for("py", ["a-b", "a.b"]).values())) == 2


@pytest.mark.parametrize(
    "package", ["break", "default", "return", "select", "struct", "var", "Flags", "2", "a-b", "", "a b", "flags\n"]
)
def test_package__that_go_does_not_take__is_refused(package: str) -> None:
    with pytest.raises(GenerateError, match="keyword" if package.isalpha() and package.islower() else "small letters"):
        generate("go", {}, package=package)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"variants": None}, "flags.bad.variants:"),
        ({"variants": [1]}, "flags.bad.variants[0]:"),
        ({"variants": [{"key": [], "value": True}]}, "flags.bad.variants[0].key:"),
        ({"variants": [{"key": "v0"}, {"key": "v1", "value": True}]}, "flags.bad.variants[0].value:"),
        ({"variants": [{"key": "v0", "value": 1}, {"key": "v1", "value": True}]}, "flags.bad.variants[0].value:"),
        ({"offVariant": []}, "flags.bad.offVariant:"),
        ({"offVariant": "gone"}, "flags.bad.offVariant:"),
        ({"type": "date"}, "flags.bad.type:"),
        (None, "flags.bad:"),
    ],
)
def test_command__malformed_flag__is_named_with_its_file_and_field_in_one_line(
    changes: dict[str, Any] | None, field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = snapshot(typed("good", "boolean", False, True))
    document["flags"]["bad"] = changes and {**typed("bad", "boolean", False, True), **changes}
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(document))

    assert main(["generate", "--lang", "ts", "--snapshot", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"openflagship: {path}: {field} ")


def test_command__fields_that_no_accessor_needs__may_have_any_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "snapshot.json"
    later = typed("later", "boolean", False, True, rules="later", description=["later"])
    path.write_text(json.dumps(snapshot(later)))

    assert main(["generate", "--lang", "py", "--snapshot", str(path)]) == 0
    assert "def later(" in capsys.readouterr().out
