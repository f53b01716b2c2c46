"""Instants on a page: UTC in the markup and the tooltip. The page's script shows them in the viewer's zone."""

from datetime import UTC, datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString


def moment(value: datetime | None) -> SafeString | str:
    """Return a `<time>` element, or "never"."""
    if value is None:
        return "never"
    utc = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{} UTC</time>',
        utc.isoformat(timespec="seconds"),
        utc.strftime("%Y-%m-%d %H:%M:%S"),
        utc.strftime("%Y-%m-%d %H:%M"),
    )
