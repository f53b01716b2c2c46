"""The web application with exposure logging taken out, to tell what the logging costs an evaluation."""

from typing import Any

from flagship.rsgi import application

__all__ = ["application"]

from analytics.pipeline.exposure_buffer import EXPOSURES


def _log_nothing(*_exposure: Any) -> None:
    pass


EXPOSURES.add = _log_nothing  # type: ignore[method-assign]  # that is the point
