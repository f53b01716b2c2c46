"""What granian serves as `web`: evaluations on the event loop, Django in threads (docs/adr/0002)."""

from django.conf import settings

from flagship.wsgi import application as lane
from flagship.wsgi import data_plane

from flagship.serving.front_door import FrontDoor  # isort: skip - Django's apps must be loaded first

application = FrontDoor(lane, data_plane, threads=settings.WEB_THREADS)
