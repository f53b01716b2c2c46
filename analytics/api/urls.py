"""Routes of the analytics API, relative to `/api/`."""

from openflagship.wire import routes

from analytics.api import usage, views
from tenancy.api.data_plane import urls_of

urlpatterns = [
    *urls_of(routes.EXPOSURES, views.ExposureView.as_view(), name="events-exposure"),
    *urls_of(routes.CONVERSIONS, views.ConversionView.as_view(), name="events-conversion"),
    *urls_of(routes.METRICS, views.MetricView.as_view(), name="events-metrics"),
    *urls_of(routes.USAGE, usage.UsageView.as_view(), name="events-usage"),
]
