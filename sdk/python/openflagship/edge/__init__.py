"""The edge evaluator: a small ASGI process next to services, which evaluates from memory and passes changes on."""

from openflagship.edge.application import Edge
from openflagship.edge.keys import EdgeEnvironment
from openflagship.edge.settings import EdgeSettings

__all__ = ["Edge", "EdgeEnvironment", "EdgeSettings"]
