"""The edge's HTTP: evaluations are answered at once."""

from __future__ import annotations

from typing import Any

from openflagship.serving.uvicorn_protocol import AtOnceProtocol


class EdgeProtocol(AtOnceProtocol):
    """The application is an `Edge`, whose operations say what they wait for."""

    def target_of(self, path: str) -> Any:
        found = self.app.operations.find(path)
        return found if found is not None and found[0].is_at_once else None
