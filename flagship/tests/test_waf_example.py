"""The example of a web application firewall says what this release takes: its paths, its bodies and its keys."""

import re
from pathlib import Path

from django.conf import settings
from openflagship.wire.routes import CONVERSIONS, EXPOSURES, METRICS, SNAPSHOT, USAGE

from tenancy import credentials

EXAMPLE = (Path(__file__).resolve().parents[2] / "deploy" / "waf-events.conf").read_text()


def _one(pattern: str) -> str:
    (found,) = set(re.findall(pattern, EXAMPLE))
    return found


def test_paths__are_those_of_events_and_no_other():
    pattern = re.compile(_one(r"location ~ (\S+) \{"))

    assert all(pattern.match(path) for route in (EXPOSURES, CONVERSIONS, METRICS, USAGE) for path in route.paths)
    assert not any(pattern.match(path) for path in SNAPSHOT.paths)


def test_bounds__are_the_servers():
    assert int(_one(r"client_max_body_size (\d+);")) == settings.MAX_EVENTS_BODY_BYTES
    assert int(_one(r"SecRequestBodyLimit (\d+)")) == settings.MAX_EVENTS_BODY_BYTES


def test_keys__of_both_kinds_pass_and_tokens_do_not():
    pattern = re.compile(_one(r'Authorization "!@rx (\S+ \S+)"'))

    for kind in ("server", "client"):
        assert pattern.match(f"Bearer {credentials.generate(kind).text}")
    assert not pattern.match(f"Bearer {credentials.generate('manage').text}")


def test_file__limits_by_country_and_each_brace_is_closed():
    code = "\n".join(line.partition("#")[0] for line in EXAMPLE.splitlines())

    assert code.count("{") == code.count("}")
    assert {"home", "abroad"} == set(re.findall(r"limit_req zone=(\w+)", code)) == set(re.findall(r"zone=(\w+):", code))
    assert len(re.findall(r"map \$country", code)) == 2
