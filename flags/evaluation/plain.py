"""The routes that can be answered without Django, each by the function its DRF view calls."""

from typing import Any

from flags.evaluation import answers, ofrep

OFREP = "/ofrep/v1/evaluate/flags"
# JSON, the evaluation's id where there is one alone, and headers of this answer; None for DRF to say what is wrong.
Answered = tuple[bytes, str | None, list[tuple[str, str]]] | None


def one(caller: answers.Caller, _flag_key: str | None, sent: Any, size: int) -> Answered:
    status, body, evaluation_id = answers.evaluate(caller, sent, size)
    return (body, evaluation_id, []) if status == 200 else None


def every(caller: answers.Caller, _flag_key: str | None, sent: Any, size: int) -> Answered:
    return answers.evaluate_all(caller, sent, size), None, []


def ofrep_one(caller: answers.Caller, flag_key: str | None, sent: Any, size: int) -> Answered:
    status, body = ofrep.evaluate(caller, flag_key or "", sent, size)
    return (body, None, []) if status == 200 else None


def ofrep_every(caller: answers.Caller, _flag_key: str | None, sent: Any, size: int) -> Answered:
    bulk = ofrep.bulk(caller, sent, size)
    return ofrep.send(caller, bulk), None, [("ETag", bulk.etag)]


# OFREP's single route has the flag in its path.
ROUTES = {
    OFREP: ofrep_every,
    **{f"/{prefix}/{name}": one for prefix in ("api", "v1") for name in ("flags/evaluate", "evaluate")},
    **{f"/{prefix}/flags/evaluate/all": every for prefix in ("api", "v1")},
}
OF_ONE_FLAG = (one, ofrep_one)
