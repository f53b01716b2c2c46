"""The console's pages for tenants, and what the apps above build theirs on."""

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group

from tenancy.admin import credentials, members, organizations, service_accounts
from tenancy.admin.audit import TenantEntryAdmin
from tenancy.console_kit import conflicts
from tenancy.console_kit.base import ConsoleAdmin, ConsoleList, say_problems, sent_data
from tenancy.console_kit.context import ConsoleContext, console_context
from tenancy.console_kit.removal import RemovableAdmin

# Roles say who may do what; Django's groups would promise permissions that nothing here asks for.
admin.site.unregister(Group)
# The clock's tasks are the settings'. On celery's own pages they would be changed unseen by the audit log.
for _clock in apps.get_app_config("django_celery_beat").get_models():
    if admin.site.is_registered(_clock):
        admin.site.unregister(_clock)

__all__ = [
    "ConsoleAdmin",
    "ConsoleContext",
    "ConsoleList",
    "RemovableAdmin",
    "TenantEntryAdmin",
    "conflicts",
    "console_context",
    "credentials",
    "members",
    "organizations",
    "say_problems",
    "sent_data",
    "service_accounts",
]
