"""Routes below `/api/` and `/v1/`; no trailing slash."""

from django.urls import path

from flags.api import (
    data_plane_urls,
    exchange,
    flags,
    history,
    kills,
    layers,
    references,
    segments,
    signing_keys,
    usage,
    what_if,
)

urlpatterns = [
    *data_plane_urls.urlpatterns,
    path("flags/evaluate/preview", what_if.PreviewView.as_view()),
    path("evaluate/preview", what_if.PreviewView.as_view()),
    path("flags", flags.FlagsView.as_view()),
    path("flags/<str:key>", flags.FlagView.as_view()),
    path("flags/<str:key>/restore", flags.RestoreView.as_view()),
    path("flags/<str:key>/purge", flags.PurgeView.as_view()),
    path("flags/<str:key>/impact", what_if.ImpactView.as_view()),
    path("flags/<str:key>/copy", exchange.CopyView.as_view()),
    path("flags/<str:key>/usage", usage.FlagUsageView.as_view()),
    path("flags/<str:key>/references", references.FlagReferencesView.as_view()),
    path("flags/<str:key>/versions", history.VersionsView.as_view()),
    path("flags/<str:key>/rollback", history.RollbackView.as_view()),
    path("flags/<str:key>/audit", history.FlagAuditView.as_view()),
    path("flags/<str:key>/kill", kills.KillView.as_view()),
    path("flags/<str:key>/kill/release", kills.ReleaseView.as_view()),
    path("flags/<str:key>/kill/status", kills.KillStatusView.as_view()),
    path("kill", kills.KillManyView.as_view()),
    path("kill/release", kills.ReleaseManyView.as_view()),
    path("unknown-flags", usage.UnknownFlagsView.as_view()),
    path("references", references.ReferencesView.as_view()),
    path("segments", segments.SegmentsView.as_view()),
    path("segments/<str:key>", segments.SegmentView.as_view()),
    path("layers", layers.LayersView.as_view()),
    path("layers/<str:key>", layers.LayerView.as_view()),
    path("environments/<str:key>/export", exchange.ExportView.as_view()),
    path("environments/<str:key>/import", exchange.ImportView.as_view()),
    path("environments/<str:environment_key>/signing-keys", signing_keys.SigningKeysView.as_view()),
]
