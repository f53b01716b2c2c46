"""The console's pages for flags."""

from flags.admin.flags import FlagConfigAdmin
from flags.admin.panels import Panel, register_panel

__all__ = ["FlagConfigAdmin", "Panel", "register_panel"]
