"""Routes of the analytics API, relative to `/api/`."""

from django.urls import path

from analytics.api import views

urlpatterns = [
    path("events/exposure", views.ExposureView.as_view(), name="events-exposure"),
    path("events/conversion", views.ConversionView.as_view(), name="events-conversion"),
    path("events/metrics", views.MetricView.as_view(), name="events-metrics"),
]
