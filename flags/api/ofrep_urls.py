"""Routes below `/ofrep/v1/`."""

from openflagship.wire import routes

from flags.api.ofrep import OfrepFlagsView, OfrepFlagView
from tenancy.api.data_plane import urls_of

urlpatterns = [
    *urls_of(routes.OFREP_FLAGS, OfrepFlagsView.as_view()),
    *urls_of(routes.OFREP_FLAG, OfrepFlagView.as_view()),
]
