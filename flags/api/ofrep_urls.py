"""Routes below `/ofrep/v1/`."""

from django.urls import path

from flags.api.ofrep import OfrepFlagsView, OfrepFlagView

urlpatterns = [
    path("evaluate/flags", OfrepFlagsView.as_view()),
    path("evaluate/flags/<str:key>", OfrepFlagView.as_view()),
]
