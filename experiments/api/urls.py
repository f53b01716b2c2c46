"""Routes of experiments, metrics and power, relative to the API's root."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
