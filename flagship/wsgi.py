"""What granian serves as `web`: Django over WSGI, one blocking thread a worker (docs/adr/0002)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")

application = get_wsgi_application()

from flags.runtime import RUNTIME  # noqa: E402 - Django's apps must be loaded first

RUNTIME.start()
