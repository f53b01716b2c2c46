"""How the console writes instants, percentages, values, differences and charts."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now as current_time

from tenancy.console_kit import charts, formats, proposals
from tenancy.console_kit.changes import BOOKKEEPING, sentences
from tenancy.console_kit.formats import moment

register = template.Library()
# Colours of environments other than production; frame.css has them.
_COLOURS = 5


for written in (
    formats.moment,
    formats.figure,
    formats.counted,
    formats.duration,
    formats.days,
    formats.p_value,
    formats.p_said,
):
    register.filter(written.__name__, written)


@register.simple_tag(takes_context=True)
def asked_in(context: template.Context, environment: Any, is_proposable: Any = False) -> proposals.Asked | None:
    """Return what the environment asks before a change is served, and whether the page offers to ask for approval.

    `is_proposable` says that the change was refused, and may be asked for.
    """
    return proposals.offered(context["request"], environment or None, is_proposable=bool(is_proposable))


@register.filter
def route(options: Any, page: str) -> str:
    """Return the name of a model's page among the admin's routes, from the model's options."""
    return f"admin:{options.app_label}_{options.model_name}_{page}"


@register.filter
def environment_colour(environment: Any) -> str:
    """Return the name of an environment's colour: one for production, and for others the same one each time."""
    return "production" if environment.is_production else f"other-{crc32(environment.key.encode()) % _COLOURS}"


@register.filter
def ago(value: datetime | None) -> str:
    if value is None:
        return "never"
    seconds = max(0, int((current_time() - value).total_seconds()))
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{formats.counted(count, unit)} ago"
    return "just now"


@register.filter
def since(value: datetime | None) -> SafeString | str:
    """Return "… ago", with the moment itself as tooltip."""
    if value is None:
        return "never"
    utc = value.astimezone(UTC)
    return format_html('<span title="{} UTC">{}</span>', utc.strftime("%Y-%m-%d %H:%M:%S"), ago(value))


@register.filter
def pretty(value: Any) -> str:
    """Return JSON as people read it: text without quotes, indented lists and objects, and a dash for null."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        compact = json.dumps(value, ensure_ascii=False, default=str)
        return compact if len(compact) <= 60 else json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return str(value)


@register.filter
def percent(value: float | None, digits: int = 2) -> str:
    """Return a share from 0 to 1 as a percentage. An unknown share is a dash, never a zero."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"


@register.filter
def points(value: float | None) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return "-" if value is None else f"{100 * value:+.2f} points"


@register.filter
def signed_percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"


@register.filter
def signed_figure(value: float | None) -> str:
    """Return a difference in a metric's own unit."""
    return "-" if value is None else f"{value:+,.4g}"


@register.filter
def of(values: Mapping[str, str], name: str) -> str:
    """Return a mapping's value, or an empty text."""
    return values.get(name, "")


@register.filter
def item(values: Mapping[str, Any], name: str) -> Any:
    """Return a mapping's value, or None."""
    return values.get(name)


@register.filter
def instant(value: datetime | str | None) -> SafeString | str:
    """Return what `moment` returns, for instants that a stored document holds as text."""
    return moment(datetime.fromisoformat(value) if isinstance(value, str) else value)


@register.filter
def width(value: float) -> str:
    """Return a share as a CSS length."""
    return f"{100 * value:.2f}%"


@register.filter
def add_number(value: float, other: float) -> str:
    """Return a coordinate with a decimal point in every language."""
    return f"{value + other:.2f}"


@register.inclusion_tag("console/diff.html")
def entry_table(entry: Any) -> dict[str, Any]:
    """Show what an audit row changed. If the act created or deleted something, show all of it."""
    changes = entry.changes
    if entry.before is None:
        changes = [{"path": path, "before": None, "after": value} for path, value in (entry.after or {}).items()]
    elif entry.after is None:
        changes = [{"path": path, "before": value, "after": None} for path, value in entry.before.items()]
    return diff_table(changes)


@register.inclusion_tag("console/diff.html")
def diff_table(changes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    shown = [change for change in changes if change["path"] not in BOOKKEEPING]
    return {"changes": shown, "sentences": sentences(shown)}


_DRAWN: dict[str, Any] = {"bars": charts.draw_bars, "lines": charts.draw_lines, "forest": charts.draw_forest}
# The width of one character of the legend, roughly, in the drawing's units.
_CHARACTER = 7


def _chart(chart: Mapping[str, Any], kind: str, file: str) -> dict[str, Any]:
    return {"chart": chart, "drawing": _DRAWN[kind](chart), "kind": kind, "file": file}


@register.inclusion_tag("console/chart.html")
def bar_chart(chart: Mapping[str, Any], file: str = "") -> dict[str, Any]:
    """Draw a bar chart. `file` is the address of the same chart as SVG, if it can be downloaded."""
    return _chart(chart, "bars", file)


@register.inclusion_tag("console/chart.html")
def line_chart(chart: Mapping[str, Any], file: str = "") -> dict[str, Any]:
    return _chart(chart, "lines", file)


@register.inclusion_tag("console/chart.html")
def forest_plot(chart: Mapping[str, Any], file: str = "") -> dict[str, Any]:
    return _chart(chart, "forest", file)


@register.inclusion_tag("console/chart_file.svg", takes_context=True)
def chart_file(context: template.Context, chart: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Draw a chart as a file of its own, with its colours, title and legend."""
    legend, x = [], 16
    for position, one in enumerate(() if kind == "forest" else chart["series"]):
        legend.append({"name": one["name"], "css": f"fs-series-{position % 6}", "x": x})
        x += 34 + _CHARACTER * len(one["name"])
    nonce = getattr(context.get("request"), "csp_nonce", "")
    return {**_chart(chart, kind, ""), "legend": legend, "nonce": nonce}
