"""The registry of panels that apps above show beside a flag. They register when Django loads them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse

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


@dataclass(frozen=True, slots=True)
class PreviewPanel:
    """As a panel, below the preview of an unsaved change: `context` also gets the fields that it changes."""

    template: str
    context: Callable[[HttpRequest, FlagConfig, Mapping[str, Any]], dict[str, Any] | None]


_PREVIEW_PANELS: list[PreviewPanel] = []


def register_preview_panel(panel: PreviewPanel) -> None:
    if panel not in _PREVIEW_PANELS:
        _PREVIEW_PANELS.append(panel)


def preview_panels_for(request: HttpRequest, config: FlagConfig, changed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return `{template, context}` of each panel that has something to say about the change."""
    filled = ((panel, panel.context(request, config, changed)) for panel in _PREVIEW_PANELS)
    return [{"template": panel.template, "context": context} for panel, context in filled if context is not None]


@dataclass(frozen=True, slots=True)
class RuleAct:
    """A link on each stored rule of a flag; the rule's id is appended to `url`, which is "" where it is not offered.

    With `is_of_shares` it stands beside the flag's own rollout too, with nothing appended.
    """

    label: str
    url: Callable[[HttpRequest, FlagConfig], str]
    is_of_shares: bool = False


_RULE_ACTS: list[RuleAct] = []


def register_rule_act(act: RuleAct) -> None:
    if act not in _RULE_ACTS:
        _RULE_ACTS.append(act)


def rule_acts_for(request: HttpRequest, config: FlagConfig) -> list[dict[str, Any]]:
    """Return `{label, url, is_of_shares}` of each act that is offered on the flag's rules."""
    found = ((act, act.url(request, config)) for act in _RULE_ACTS)
    return [{"label": act.label, "url": url, "is_of_shares": act.is_of_shares} for act, url in found if url]


@dataclass(frozen=True, slots=True)
class SaveAct:
    """A button beside Save: `perform` gets the fields that the person changed, which are not saved.

    They were changed in the flag's present version.
    """

    name: str
    label: str
    perform: Callable[[HttpRequest, FlagConfig, dict[str, Any]], HttpResponse]


_SAVE_ACTS: list[SaveAct] = []


def register_save_act(act: SaveAct) -> None:
    if act not in _SAVE_ACTS:
        _SAVE_ACTS.append(act)


def save_acts() -> list[SaveAct]:
    return list(_SAVE_ACTS)


def chosen_save_act(request: HttpRequest) -> SaveAct | None:
    """The act whose button sent the form; None: it is to be saved."""
    return next((act for act in _SAVE_ACTS if act.name == request.POST.get("save_as")), None)


def panels_for(request: HttpRequest, config: FlagConfig) -> list[dict[str, Any]]:
    """Return `{template, context}` of each panel that has something to show."""
    filled = ((panel, panel.context(request, config)) for panel in _PANELS)
    return [{"template": panel.template, "context": context} for panel, context in filled if context is not None]
