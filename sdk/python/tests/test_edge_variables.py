"""The variables of an edge: what cannot work is refused before it starts, in a line that names the variable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from configured_edges import EDGE
from openflagship.edge import EdgeEnvironment, EdgeSettings
from openflagship.edge.__main__ import main
from openflagship.edge.settings.variables import tls_files
from sdk_fixtures import CERTIFICATE
from small_platform import KEY

_GOOD = {"FLAGSHIP_EDGE_URL": "http://localhost", "FLAGSHIP_EDGE_KEYS": KEY}
_MANY = "9" * 5_000
_ADDRESSES = (
    "foo", "flags.example.com", "http://h:99999", "http://h:port", "ftp://h", "http://", "http://[::1", "http://h/?a=b"
)  # fmt: skip
_REFUSED: list[tuple[str, str]] = [
    *(("KEYS", f"fs_{kind}_{'s' * 30}") for kind in ("client", "manage", "sign", "edge")),
    *(("KEYS", f"fs_server_a{mark}fs_server_b") for mark in ("; ", ";", " ", "\n", "|")),
    ("KEYS", '{"serverKey": "fs_server_a"}'),
    ("KEYS", '"fs_server_a"'),
    ("KEYS", '["fs_server_a"]'),
    ("KEYS", '[{"serverKey": "fs_client_a"}]'),
    ("KEYS", '[{"serverKey": " "}]'),
    ("KEYS", '[{"serverKey": "a", "clientKeys": ["fs_manage_a"]}]'),
    ("KEYS", '[{"serverKey": "a", "clientKeys": [""]}]'),
    ("KEYS", "[]"),
    ("KEYS", "[" * 5_000),
    ("KEYS", "fs_server_a,fs_server_a"),
    ("KEYS", "fs_server_\u00e9"),
    *(("URL", text) for text in _ADDRESSES),
    *(("STREAM_URL", text) for text in _ADDRESSES),
    ("CA_FILE", "/nonexistent.pem"),
    ("CA_FILE", __file__),
    ("CA_FILE", str(Path(__file__).parent)),
    *(("STALE_AFTER_SECONDS", text) for text in ("99999999999", _MANY, "-1", "1.5")),
    *(("RATE_LIMIT", text) for text in (_MANY, "-1", "1e3")),
    *(
        ("SNAPSHOT_URL", text)
        for text in ("foo", "http://bucket.example.com/x.json", "https://bucket.example.com", "https://h:99999/x.json")
    ),
    *(
        ("ORIGINS", text)
        for text in (
            "https://a.example/", "https://a.example/shop", "https://A.example", "https://a.example:443",
            "a.example", "https://*.example", "https://b.example, https://a.example/",
        )
    ),
    ("SIGNING_SECRET", " "),
    ("GRPC", "127.0.0.1:99999"),
    ("REDIS_URL", "redis://h:port"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), _REFUSED, ids=[f"{name}-{value[:40]}" for name, value in _REFUSED])
def test_variable__that_cannot_work__is_refused_by_name_in_a_line_without_secrets(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"FLAGSHIP_EDGE_{name}") as refused:
        EdgeSettings.from_environ({**_GOOD, f"FLAGSHIP_EDGE_{name}": value})

    said = str(refused.value)
    assert "\n" not in said
    assert len(said) < 400
    assert "s" * 30 not in said


def test_variables__with_space_around_or_empty__are_taken() -> None:
    found = EdgeSettings.from_environ(
        {
            "FLAGSHIP_EDGE_URL": " http://localhost\n",
            "FLAGSHIP_EDGE_KEYS": " fs_server_a , fs_server_b ",
            "FLAGSHIP_EDGE_ORIGINS": "https://a.example, https://b.example,capacitor://localhost,",
            "FLAGSHIP_EDGE_STREAM_URL": "",
            "FLAGSHIP_EDGE_STALE_AFTER_SECONDS": "",
            "FLAGSHIP_EDGE_SNAPSHOT_URL": "",
        }
    )

    assert [one.server_key for one in found.environments] == ["fs_server_a", "fs_server_b"]
    assert found.origins == ("https://a.example", "https://b.example", "capacitor://localhost")
    assert (found.url, found.stream_url, found.snapshot_url, found.options) == ("http://localhost", None, None, {})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, ""),
        ({"SNAPSHOT_URL": "https://bucket.example.com/acme/{name}.json"}, ""),
        ({"SNAPSHOT_URL": "http://bucket.example.com/{name}.json"}, "SNAPSHOT_URL"),
        ({"SNAPSHOT_URL": "http://bucket.example.com/{name}.json", "SIGNING_SECRETS": '{"web/production": "s"}'}, ""),
        ({"SNAPSHOT_URL": "https://bucket.example.com/acme.json"}, "{name}"),
        ({"SIGNING_SECRET": "s"}, "SIGNING_SECRETS"),
        ({"SIGNING_SECRETS": '{"production": "s"}'}, "<project>/<environment>"),
        ({"SIGNING_SECRETS": '{"web/production": " "}'}, "<project>/<environment>"),
        ({"CREDENTIAL": "fs_edge_"}, "CREDENTIAL"),
        ({"CREDENTIAL": f"{EDGE}~web/production"}, "CREDENTIAL"),
    ],
)
def test_variables__beside_a_credential__are_taken_or_refused_with_the_remedy(more: dict[str, str], said: str) -> None:
    environ = {"URL": "http://localhost", "CREDENTIAL": EDGE, **more}
    given = {f"FLAGSHIP_EDGE_{name}": value for name, value in environ.items()}
    if said:
        with pytest.raises(ValueError, match=said):
            EdgeSettings.from_environ(given)
    else:
        assert EdgeSettings.from_environ(given).credential == EDGE


@pytest.mark.parametrize(
    "more",
    [
        {"FLAGSHIP_EDGE_SIGNING_SECRETS": '{"web/production": "s"}'},
        {"FLAGSHIP_EDGE_SIGNING_SECRET": "s", "FLAGSHIP_EDGE_KEYS": '[{"serverKey": "a", "signingSecret": "b"}]'},
    ],
)
def test_signing_secret__that_would_be_passed_over__is_refused_with_the_remedy(more: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"FLAGSHIP_EDGE_SIGNING_SECRET.*FLAGSHIP_EDGE_KEYS.*signingSecret"):
        EdgeSettings.from_environ({**_GOOD, **more})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"PORT": "abc"}, "FLAGSHIP_EDGE_PORT"),
        ({"PORT": "99999"}, "FLAGSHIP_EDGE_PORT"),
        ({"PORT": "", "HOST": "no host"}, "FLAGSHIP_EDGE_HOST"),
        ({"PORT": "", "HOST": "", "PROCESSES": "x"}, "FLAGSHIP_EDGE_PROCESSES"),
        ({"TLS_CERTIFICATE": __file__}, "FLAGSHIP_EDGE_TLS_CERTIFICATE"),
        ({"TLS_CERTIFICATE": str(CERTIFICATE), "TLS_KEY": __file__}, "FLAGSHIP_EDGE_TLS_KEY"),
    ],
)
def test_main__variable_that_cannot_work__ends_with_a_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], said: str
) -> None:
    for name, value in {**_GOOD, **{f"FLAGSHIP_EDGE_{name}": value for name, value in more.items()}}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["openflagship-edge"])

    with pytest.raises(SystemExit, match=rf"^openflagship-edge: {said}\b.*$"):
        main()


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize(
    ("name", "value"), [("STREAM_URL", "foo"), ("TLS_CERTIFICATE", __file__), ("KEYS", "fs_client_a"), ("PORT", "abc")]
)
def test_process__variable_that_cannot_work__ends_at_once_with_one_line(processes: str, name: str, value: str) -> None:
    given = {**_GOOD, "FLAGSHIP_EDGE_PROCESSES": processes, f"FLAGSHIP_EDGE_{name}": value}
    ended = subprocess.run(
        [sys.executable, "-m", "openflagship.edge"], env={**os.environ, **given}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"openflagship-edge: FLAGSHIP_EDGE_{name}")
    assert ended.stderr.count("\n") == 1


def test_tls_files__that_fit__are_given_to_the_server(tmp_path: Path) -> None:
    whole = CERTIFICATE.read_text()
    start = whole.index("-----BEGIN CERTIFICATE")
    parts = {"key": whole.replace(whole[start : whole.index("-----END CERTIFICATE") + 25], ""), "certificate": whole}
    for name, text in parts.items():
        (tmp_path / name).write_text(text)
    certificate, key = (str(tmp_path / name) for name in ("certificate", "key"))

    assert tls_files({}) == {}
    assert tls_files({"FLAGSHIP_EDGE_TLS_CERTIFICATE": certificate}) == {"ssl_certfile": certificate}
    both = {"FLAGSHIP_EDGE_TLS_CERTIFICATE": certificate, "FLAGSHIP_EDGE_TLS_KEY": key}
    assert tls_files(both) == {"ssl_certfile": certificate, "ssl_keyfile": key}


def test_settings__as_text__contain_no_secret() -> None:
    keys = [
        {"serverKey": "fs_server_s3cret", "clientKeys": ["fs_client_s3cret"], "signingSecret": "s3cret", "name": "a"}
    ]
    given = {**_GOOD, "FLAGSHIP_EDGE_KEYS": json.dumps(keys), "FLAGSHIP_EDGE_URL": "https://me:s3cret@localhost"}
    credential = {"FLAGSHIP_EDGE_CREDENTIAL": "fs_edge_s3cret", "FLAGSHIP_EDGE_SIGNING_SECRETS": '{"a/b": "s3cret"}'}
    published = {"FLAGSHIP_EDGE_SNAPSHOT_URL": "https://bucket.example.com/{name}?signature=s3cret"}
    url = {"FLAGSHIP_EDGE_URL": "https://me:s3cret@localhost"}
    one = EdgeEnvironment(server_key="fs_server_s3cret", client_keys=("s3cret",), signing_secret="s3cret", name="shop")
    for settings in (
        EdgeSettings.from_environ(given),
        EdgeSettings.from_environ({**url, **credential, **published}),
        EdgeSettings(url="http://x", environments=(one,), options={"proxy": "http://me:s3cret@proxy.example.com"}),
    ):
        assert "s3cret" not in repr(settings)
    assert repr(one) == "EdgeEnvironment(name='shop', snapshot=None)"
