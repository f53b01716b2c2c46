"""The Django project: settings, processes, embedded servers, health and telemetry."""

from flagship.celery import app as celery_app

__all__ = ["celery_app"]
