"""The data plane's routes below `/api/` and `/v1/`: what is answered from memory."""

from openflagship.wire import routes

from flags.api import evaluate, snapshot_views
from tenancy.api.data_plane import urls_of

urlpatterns = [
    *urls_of(routes.EVALUATE, evaluate.EvaluateView.as_view()),
    *urls_of(routes.EVALUATE_ALL, evaluate.EvaluateAllView.as_view()),
    *urls_of(routes.SNAPSHOT, snapshot_views.SnapshotView.as_view()),
    *urls_of(routes.ACKNOWLEDGE, snapshot_views.AcknowledgeView.as_view()),
    *urls_of(routes.EDGE_CONFIGURATION, snapshot_views.EdgeConfigurationView.as_view()),
    *urls_of(routes.EDGE_STREAM, snapshot_views.EdgeStreamView.as_view()),
    *urls_of(
        routes.STREAM,
        snapshot_views.StreamView.as_view(),
        snapshot_views.NamedStreamView.as_view(),
        snapshot_views.EventsStreamView.as_view(),
    ),
]
