"""Every write to flags: validate, write, append to the version log and audit, in one transaction."""

from flags.services.flags import archive_flag, create_flag, restore_flag, set_experiment, update_flag
from flags.services.kill import kill_flag, release_flag

__all__ = [
    "archive_flag",
    "create_flag",
    "kill_flag",
    "release_flag",
    "restore_flag",
    "set_experiment",
    "update_flag",
]
