"""The console's pages for flags."""

from flags.admin.audiences import LayerAdmin, SegmentAdmin
from flags.admin.flags import FlagConfigAdmin
from flags.admin.panels import Panel, register_panel

__all__ = ["FlagConfigAdmin", "LayerAdmin", "Panel", "SegmentAdmin", "register_panel"]
