"""The console's pages for flags."""

from flags.admin.flags import FlagConfigAdmin
from flags.admin.layers.admin import LayerAdmin
from flags.admin.panels import Panel, register_panel
from flags.admin.segments.admin import SegmentAdmin

__all__ = ["FlagConfigAdmin", "LayerAdmin", "Panel", "SegmentAdmin", "register_panel"]
