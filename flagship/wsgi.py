"""Django behind the fast lane, for WSGI servers. The shipped `web` process is `flagship.rsgi`, which is built on it."""

import os

from django.core.wsgi import get_wsgi_application
from openflagship.serving import interpreter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")

django = get_wsgi_application()

from flags.propagation.runtime import RUNTIME  # noqa: E402 - Django's apps must be loaded first
from flagship.servers.database_sessions import limit_requests  # noqa: E402 - likewise
from flagship.serving.data_plane import DataPlane  # noqa: E402 - likewise
from flagship.serving.fast_lane import FastLane  # noqa: E402 - likewise
from tenancy.callers.shared_limits import SHARED_LIMITS  # noqa: E402 - likewise

limit_requests()
data_plane = DataPlane(django)
application = FastLane(data_plane)
RUNTIME.start()
SHARED_LIMITS.start()
interpreter.settle()
