"""The Celery application: nightly results, sample ratio checks, retention and other work off the request path."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")

app = Celery("flagship")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
