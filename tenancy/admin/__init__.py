"""The console's pages for tenants. Importing this package registers them."""

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group

from tenancy.admin import audit_log, credentials, members, organizations, service_accounts

# Roles say who may do what; Django's groups would promise permissions that nothing here asks for.
admin.site.unregister(Group)
# The clock's tasks are the settings'. On celery's own pages they would be changed unseen by the audit log.
for _clock in apps.get_app_config("django_celery_beat").get_models():
    if admin.site.is_registered(_clock):
        admin.site.unregister(_clock)

__all__ = ["audit_log", "credentials", "members", "organizations", "service_accounts"]
