"""The console's pages for change requests, policies and freezes. Importing this package registers them."""

from approvals.admin import flag_panel, registered
from approvals.admin.desk import ApprovalDesk
from tenancy.console_kit.proposals import register_desk

register_desk(ApprovalDesk())

__all__ = ["flag_panel", "registered"]
