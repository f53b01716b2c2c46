"""What granian serves as `web`: Django behind the fast lane, one blocking thread a worker (docs/adr/0002)."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")

django = get_wsgi_application()

from flags.propagation.runtime import RUNTIME  # noqa: E402 - Django's apps must be loaded first
from flagship.serving.data_plane import DataPlane  # noqa: E402 - likewise
from flagship.serving.fast_lane import FastLane  # noqa: E402 - likewise

application = FastLane(DataPlane(django))
RUNTIME.start()
# What was loaded stays: a collection need not look through ten thousand flags again and hold up a request for it.
gc.collect()
gc.freeze()
