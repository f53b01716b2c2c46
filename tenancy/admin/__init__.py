"""The console's pages for tenants, and what the apps above build theirs on."""

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group

from tenancy.admin import conflicts, credentials, members, organizations, service_accounts
from tenancy.admin.audit import TenantEntryAdmin
from tenancy.admin.base import ConsoleAdmin, ConsoleList, say_problems, sent_data
from tenancy.admin.removal import RemovableAdmin
from tenancy.admin.visit import Visit, visit

# Roles say who may do what; Django's groups would promise permissions that nothing here asks for.
admin.site.unregister(Group)
# The clock's tasks are the settings'. On celery's own pages they would be changed unseen by the audit log.
for _clock in apps.get_app_config("django_celery_beat").get_models():
    if admin.site.is_registered(_clock):
        admin.site.unregister(_clock)

__all__ = [
    "ConsoleAdmin",
    "ConsoleList",
    "RemovableAdmin",
    "TenantEntryAdmin",
    "Visit",
    "conflicts",
    "credentials",
    "members",
    "organizations",
    "say_problems",
    "sent_data",
    "service_accounts",
    "visit",
]
