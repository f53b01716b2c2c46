"""The registry of panels that apps above show beside a flag. They register when Django loads them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from flags.models import FlagConfig


@dataclass(frozen=True, slots=True)
class Panel:
    """A template with the function that fills it. `context` returns None if there is nothing to show."""

    template: str
    context: Callable[[HttpRequest, FlagConfig], dict[str, Any] | None]


_PANELS: list[Panel] = []


def register_panel(panel: Panel) -> None:
    if panel not in _PANELS:
        _PANELS.append(panel)


def panels_for(request: HttpRequest, config: FlagConfig) -> list[dict[str, Any]]:
    """Return `{template, context}` of each panel that has something to show."""
    filled = ((panel, panel.context(request, config)) for panel in _PANELS)
    return [{"template": panel.template, "context": context} for panel, context in filled if context is not None]
