"""What granian serves as `web`: Django behind the fast lane, one blocking thread a worker (docs/adr/0002)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")

django = get_wsgi_application()

from flags.runtime import RUNTIME  # noqa: E402 - Django's apps must be loaded first
from flagship.fastlane import FastLane  # noqa: E402 - likewise

application = FastLane(django)  # type: ignore[arg-type]  # the stubs of a WSGI handler are narrower than WSGI
RUNTIME.start()
