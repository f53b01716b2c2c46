"""A whole environment as one JSON document. It has ranges and salts, so that an import keeps every unit's variant."""

from collections.abc import Callable
from typing import Any

from django.utils import timezone

from flags.documents import environment_header, flag_export, percent_of
from flags.selectors import configs, layers, search_segments
from tenancy.models import Environment

FORMAT = "flagship"
FORMAT_VERSION = 1


# What the apps above add to an export, by its name there.
_parts: dict[str, Callable[[Environment], list[Any]]] = {}


def register_part(name: str, find: Callable[[Environment], list[Any]]) -> None:
    _parts[name] = find


def export_environment(environment: Environment) -> dict[str, Any]:
    """Return the flags (archived ones too), segments and layers. Kills and experiments are not part of an export."""
    return {
        "format": FORMAT,
        "formatVersion": FORMAT_VERSION,
        "exportedAt": timezone.now(),
        "environment": {**environment_header(environment), "configVersion": environment.config_version},
        "flags": [flag_export(config) for config in configs(environment)],
        "segments": [
            {
                "key": segment.key,
                "name": segment.name,
                "included": segment.included,
                "excluded": segment.excluded,
                "conditions": segment.conditions,
            }
            for segment in search_segments(environment)
        ],
        "layers": [
            {"key": layer.key, "name": layer.name, "holdoutPercent": percent_of(layer.holdout_buckets)}
            for layer in layers(environment)
        ],
        **{name: find(environment) for name, find in _parts.items()},
    }
