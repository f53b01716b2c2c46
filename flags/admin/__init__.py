"""The console's pages for flags."""

from flags.admin.flags import FlagConfigAdmin
from flags.admin.layers.admin import LayerAdmin
from flags.admin.panels import Panel, RuleAct, register_panel, register_rule_act
from flags.admin.segments.admin import SegmentAdmin

__all__ = [
    "FlagConfigAdmin",
    "LayerAdmin",
    "Panel",
    "RuleAct",
    "SegmentAdmin",
    "register_panel",
    "register_rule_act",
]
