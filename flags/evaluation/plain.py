"""The operations that need no Django to be answered. Each is answered by the function that its DRF view calls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openflagship.wire import routes

from flags.evaluation import answers, ofrep

# An answer's JSON, the evaluation's id where there is exactly one, and the answer's headers. With None, DRF answers and
# says what is wrong.
Answered = tuple[bytes, str | None, list[tuple[str, str]]] | None


@dataclass(frozen=True, slots=True)
class Operation:
    """Answers one route, from the caller, the flag's key in the path, the parsed body and its size in bytes."""

    answer: Callable[[answers.Caller, str, Any, int], Answered]
    is_of_one_flag: bool
    caller: type[answers.Caller] = answers.Caller


def _evaluate(caller: answers.Caller, _flag_key: str, sent: Any, size: int) -> Answered:
    status, body, evaluation_id = answers.evaluate(caller, sent, size)
    return (body, evaluation_id, []) if status == 200 else None


def _evaluate_all(caller: answers.Caller, _flag_key: str, sent: Any, size: int) -> Answered:
    return answers.evaluate_all(caller, sent, size), None, []


def _ofrep_flag(caller: answers.Caller, flag_key: str, sent: Any, size: int) -> Answered:
    status, body = ofrep.evaluate(caller, flag_key, sent, size)
    return (body, None, []) if status == 200 else None


def _ofrep_flags(caller: answers.Caller, _flag_key: str, sent: Any, size: int) -> Answered:
    bulk = ofrep.bulk(caller, sent, size)
    return ofrep.send(caller, bulk), None, [("ETag", bulk.etag)]


ROUTES = routes.RouteMap(
    [
        (routes.EVALUATE, Operation(_evaluate, is_of_one_flag=True)),
        (routes.EVALUATE_ALL, Operation(_evaluate_all, is_of_one_flag=False)),
        (routes.OFREP_FLAGS, Operation(_ofrep_flags, is_of_one_flag=False, caller=answers.OfrepCaller)),
        (routes.OFREP_FLAG, Operation(_ofrep_flag, is_of_one_flag=True, caller=answers.OfrepCaller)),
    ]
)
