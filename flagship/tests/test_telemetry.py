"""What a log line says of a failure: where it was, and nothing that opens a door or tells who was served."""

import json
import logging
import sys

import pytest
import structlog

from flagship.telemetry import logging_config

USER = "alice@example.com"
KEY = "fs_server_abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(autouse=True)
def _configured_as_before():
    """Reading a configuration for the log sets it up for the whole process."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def _written(log_format: str) -> str:
    """The line of a request that failed with a user and a key at hand."""
    settings = dict(logging_config(log_format=log_format, level="INFO")["formatters"]["structured"])
    settings.pop("()")
    try:
        _serve(USER, KEY)
    except ValueError:
        record = logging.LogRecord("django.request", logging.ERROR, __file__, 1, "%s failed", ("/api",), sys.exc_info())
    record.request, record.data = {"headers": [f"Authorization: Bearer {KEY}"]}, {"args": [USER]}
    return structlog.stdlib.ProcessorFormatter(**settings).format(record)


def _serve(user, key):
    raise ValueError(f"{len(user)} characters and the key {key}")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_log__failure__names_its_place_without_secrets_or_users(log_format):
    written = _written(log_format)

    assert "in _serve" in written
    assert "ValueError: 17 characters and the key [redacted]" in written
    assert KEY not in written
    assert USER not in written


def test_log__json__is_one_line_of_it():
    written = _written("json")

    assert "\n" not in written
    assert json.loads(written)["event"] == "/api failed"
