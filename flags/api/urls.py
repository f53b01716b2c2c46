"""Routes below `/api/` and `/v1/`; no trailing slash."""

from django.urls import path

from flags.api import views

urlpatterns = [
    path("evaluate", views.EvaluateView.as_view()),
    path("flags/evaluate", views.EvaluateView.as_view()),
    path("flags/evaluate/all", views.EvaluateAllView.as_view()),
    path("flags", views.FlagsView.as_view()),
    path("flags/<str:key>", views.FlagView.as_view()),
    path("flags/<str:key>/restore", views.RestoreView.as_view()),
    path("flags/<str:key>/kill", views.KillView.as_view()),
    path("flags/<str:key>/kill/release", views.ReleaseView.as_view()),
]
