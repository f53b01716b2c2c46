"""Routes below `/api/` and `/v1/`; no trailing slash."""

from django.urls import path

from flags.api import audiences, evaluate, history, snapshot_views, transfers, views

urlpatterns = [
    path("evaluate", evaluate.EvaluateView.as_view()),
    path("flags/evaluate", evaluate.EvaluateView.as_view()),
    path("flags/evaluate/all", evaluate.EvaluateAllView.as_view()),
    path("flags/evaluate/preview", views.PreviewView.as_view()),
    path("kill", views.KillTagView.as_view()),
    path("kill/release", views.ReleaseTagView.as_view()),
    path("snapshot", snapshot_views.SnapshotView.as_view()),
    path("configs/<str:environment_key>", snapshot_views.SnapshotView.as_view()),
    path("stream", snapshot_views.StreamView.as_view()),
    path("stream/ack", snapshot_views.AcknowledgeView.as_view()),
    path("stream/<str:environment_key>", snapshot_views.NamedStreamView.as_view()),
    path("environments/<str:environment_key>/signing-keys", snapshot_views.SigningKeysView.as_view()),
    path("flags/<str:key>/kill/status", snapshot_views.KillStatusView.as_view()),
    path("segments", audiences.SegmentsView.as_view()),
    path("segments/<str:key>", audiences.SegmentView.as_view()),
    path("layers", audiences.LayersView.as_view()),
    path("layers/<str:key>", audiences.LayerView.as_view()),
    path("flags", views.FlagsView.as_view()),
    path("flags/<str:key>", views.FlagView.as_view()),
    path("flags/<str:key>/restore", views.RestoreView.as_view()),
    path("flags/<str:key>/versions", history.VersionsView.as_view()),
    path("flags/<str:key>/rollback", history.RollbackView.as_view()),
    path("flags/<str:key>/audit", history.FlagAuditView.as_view()),
    path("flags/<str:key>/impact", transfers.ImpactView.as_view()),
    path("flags/<str:key>/copy", transfers.CopyView.as_view()),
    path("environments/<str:key>/export", transfers.ExportView.as_view()),
    path("environments/<str:key>/import", transfers.ImportView.as_view()),
    path("flags/<str:key>/kill", views.KillView.as_view()),
    path("flags/<str:key>/kill/release", views.ReleaseView.as_view()),
]
