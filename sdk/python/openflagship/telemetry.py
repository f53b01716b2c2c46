"""Evaluations in traces: a hook by OpenFeature's semantic conventions. It needs `openflagship[opentelemetry]`."""

from __future__ import annotations

import json
from typing import Any, Final

from opentelemetry import trace

from openflagship.client.hooks import Hook, Question
from openflagship.engine import Answer

EVENT: Final = "feature_flag.evaluation"
_PROVIDER: Final = "FlagShip"


class OpenTelemetryHook(Hook):
    """Adds an event to the current span for each evaluation; without a recording span it does nothing.

    User ids and values are personal or large, so they stand in it only where that is asked for.
    """

    def __init__(self, *, is_showing_user: bool = False, is_showing_value: bool = False) -> None:
        self._is_showing_user = is_showing_user
        self._is_showing_value = is_showing_value

    def finally_after(self, question: Question, answer: Answer) -> None:
        span = trace.get_current_span()
        if not span.is_recording():
            return
        attributes: dict[str, Any] = {
            "feature_flag.key": question.flag_key,
            "feature_flag.provider.name": _PROVIDER,
            "feature_flag.result.reason": answer.openfeature_reason.lower(),
            "feature_flag.version": str(answer.config_version),
        }
        if answer.variant is not None:
            attributes["feature_flag.result.variant"] = answer.variant
        if self._is_showing_value:
            value = answer.value
            is_plain = isinstance(value, (str, bool, int, float))
            attributes["feature_flag.result.value"] = value if is_plain else json.dumps(value, default=str)
        if self._is_showing_user and question.context.user_id:
            attributes["feature_flag.context.id"] = question.context.user_id
        if answer.error_code is not None:
            attributes["error.type"] = answer.error_code.lower()
            if answer.detail:
                attributes["error.message"] = answer.detail
        span.add_event(EVENT, attributes)
