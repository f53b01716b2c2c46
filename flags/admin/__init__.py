"""The console's pages for flags."""

from flags.admin.flag import change_words
from flags.admin.flags import FlagConfigAdmin
from flags.admin.layers.admin import LayerAdmin
from flags.admin.panels import (
    Panel,
    PreviewPanel,
    RuleAct,
    register_panel,
    register_preview_panel,
    register_rule_act,
)
from flags.admin.segments.admin import SegmentAdmin

change_words.register()

__all__ = [
    "FlagConfigAdmin",
    "LayerAdmin",
    "Panel",
    "PreviewPanel",
    "RuleAct",
    "SegmentAdmin",
    "register_panel",
    "register_preview_panel",
    "register_rule_act",
]
