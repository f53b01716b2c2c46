"""Routes of the data plane without a prefix."""

from django.urls import path

from flags.api import evaluate, snapshot_views

urlpatterns = [
    path("evaluate", evaluate.EvaluateView.as_view()),
    path("configs/<str:environment_key>", snapshot_views.SnapshotView.as_view()),
    path("stream/<str:environment_key>", snapshot_views.NamedStreamView.as_view()),
]
