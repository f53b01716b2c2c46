"""Every write to flags: validate, write, append to the version log and audit, in one transaction."""

from flags.services.archiving import archive_flag, purge_flag, purge_flags, restore_flag
from flags.services.copying import copy_flag
from flags.services.drafts import refuse_several_units
from flags.services.flags import create_flag, end_experiment, set_experiment, update_flag
from flags.services.imports import import_environment
from flags.services.kill import (
    kill_everything,
    kill_flag,
    kill_flags,
    kill_tag,
    release_everything,
    release_flag,
    release_flags,
    release_tag,
)
from flags.services.layers import create_layer, delete_layer, release_range, reserve_range, update_layer
from flags.services.rollback import Served, Share, rollback_flag, served_of, set_share, set_shares
from flags.services.segments import check_segment_change, create_segment, delete_segment, update_segment
from flags.services.version_log_retention import prune_version_log

__all__ = [
    "Served",
    "Share",
    "archive_flag",
    "check_segment_change",
    "copy_flag",
    "create_flag",
    "create_layer",
    "create_segment",
    "delete_layer",
    "delete_segment",
    "end_experiment",
    "import_environment",
    "kill_everything",
    "kill_flag",
    "kill_flags",
    "kill_tag",
    "prune_version_log",
    "purge_flag",
    "purge_flags",
    "refuse_several_units",
    "release_everything",
    "release_flag",
    "release_flags",
    "release_range",
    "release_tag",
    "reserve_range",
    "restore_flag",
    "rollback_flag",
    "served_of",
    "set_experiment",
    "set_share",
    "set_shares",
    "update_flag",
    "update_layer",
    "update_segment",
]
