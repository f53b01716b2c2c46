"""The console's pages for tenants. Importing this package registers them."""

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group

from tenancy.admin import audit_log, credentials, members, organizations, privacy, service_accounts

# Roles say who may do what. Django's groups would promise permissions that nothing here checks.
admin.site.unregister(Group)
# Settings define the scheduled tasks. On celery's own pages they could be changed past the audit log.
for _clock in apps.get_app_config("django_celery_beat").get_models():
    if admin.site.is_registered(_clock):
        admin.site.unregister(_clock)

__all__ = ["audit_log", "credentials", "members", "organizations", "privacy", "service_accounts"]
