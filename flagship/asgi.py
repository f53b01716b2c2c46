"""What the `stream` process serves: server-sent events and WebSockets over ASGI."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flagship.settings")

application = ProtocolTypeRouter({"http": get_asgi_application()})

from flags.runtime import RUNTIME  # noqa: E402 - Django's apps must be loaded first

RUNTIME.start()
