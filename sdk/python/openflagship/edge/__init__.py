"""The edge evaluator: a small ASGI process next to services, which evaluates from memory and passes changes on."""

from openflagship.edge.application import Edge
from openflagship.edge.settings.edge_settings import EdgeSettings
from openflagship.edge.settings.keys import EdgeEnvironment

__all__ = ["Edge", "EdgeEnvironment", "EdgeSettings"]
