"""The log has each request of the control plane with its id; of the data plane one in many, and each error."""

import pytest
from structlog.testing import capture_logs

from flags.propagation.runtime import RUNTIME
from flagship.serving.access_log import Sampler


@pytest.fixture
def lines(monkeypatch):
    """The access log's lines while a call runs, with what is bound to them."""

    def _lines(call):
        from structlog.contextvars import merge_contextvars  # noqa: PLC0415 - beside its use

        with capture_logs(processors=[merge_contextvars]) as logs:
            call()
        return [line for line in logs if line["event"] == "request"]

    return _lines


def test_read__leaves_a_line_with_its_request_id_and_its_caller(viewer, lines):
    (line,) = lines(lambda: viewer.get("flags", headers={"X-Request-ID": "trace-me"}, search="alice"))

    assert (line["request_id"], line["method"], line["path"], line["status"]) == ("trace-me", "GET", "/api/flags", 200)
    assert line["caller"] == "viewer-of-acme"
    assert line["ms"] >= 0
    assert "alice" not in str(line)


def test_console__page__leaves_a_line(console_owner, acme, lines):
    (line,) = lines(lambda: console_owner.get("/admin/health/", {"environment": acme.production.pk}))

    assert (line["caller"], line["status"], line["request_id"] != "") == ("olga", 200, True)


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/metrics", 200)])
def test_probe__leaves_no_line(client, db, lines, path, status):
    answers = []
    assert lines(lambda: answers.append(client.get(path).status_code)) == []
    assert answers == [status]


def test_data_plane__is_sampled_and_an_error_always_has_a_line(key, make_flag, settings, lines):
    make_flag("a")
    RUNTIME.refresh()
    caller, body = key(), {"flagKey": "a", "userId": "u"}
    settings.ACCESS_LOG_SAMPLE = 0
    assert lines(lambda: caller.post("evaluate", body)) == []
    assert [line["status"] for line in lines(lambda: caller.post("evaluate", {}))] == [400]

    settings.ACCESS_LOG_SAMPLE = 1
    assert [line["status"] for line in lines(lambda: caller.post("evaluate", body))] == [200]


def test_sampler__picks_one_in_so_many():
    sampler = Sampler()

    assert [sampler.picks(3) for _ in range(6)] == [False, False, True, False, False, True]
    assert not sampler.picks(0)
