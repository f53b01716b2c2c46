"""A Django service in one file: `python docs/examples/django_shop.py runserver 8100`, FLAGSHIP_ variables set.

`/` is a page that begins with its user's answers, so that the first paint has them, and follows changes from then on.
"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.urls import path
from openflagship import Context
from openflagship.django import get_client
from openflagship.pages import page_answers, signed_page_answers

PAGE = '{% load flags %}{% flag "new-checkout" as is_new %}{% if is_new %}new{% else %}old{% endif %}'

BEGINNING = """<!doctype html><title>Shop</title><p id="checkout"></p>{{ start|json_script:"start" }}
<script type="module">
import { FlagShip } from "/openflagship.js";
const { key, url, ...options } = JSON.parse(document.getElementById("start").textContent);
const flags = new FlagShip(key, url, options);
const show = () => {
  document.getElementById("checkout").textContent = flags.isEnabled("new-checkout") ? "new" : "old";
};
flags.onChange(show);
show();
</script>"""


def context_of(request: HttpRequest) -> Context:
    """A real service would take the signed-in user: that is what happens without this setting."""
    return Context(request.GET.get("user"), {"country": request.GET.get("country")})


def checkout(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Template(PAGE).render(RequestContext(request)))


def page(request: HttpRequest) -> HttpResponse:
    user, secret = request.GET["user"], os.environ.get("FLAGSHIP_SIGNING_SECRET")
    # Signed where a cache or an edge worker passes the page on, and checks what it passes.
    bootstrap = signed_page_answers(get_client(), user, secret) if secret else page_answers(get_client(), user)
    start = {
        "key": os.environ["FLAGSHIP_CLIENT_KEY"],
        "url": os.environ["FLAGSHIP_URL"],
        "context": {"targetingKey": user},
        "bootstrap": bootstrap,
    }
    return HttpResponse(Template(BEGINNING).render(RequestContext(request, {"start": start})))


def script(_request: HttpRequest) -> FileResponse:
    """The package openflagship-web as it is built: of a checkout, `sdk/web/dist/index.js`."""
    return FileResponse(open(os.environ["OPENFLAGSHIP_WEB"], "rb"), content_type="text/javascript")


urlpatterns = [path("", page), path("openflagship.js", script), path("checkout", checkout)]

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    INSTALLED_APPS=["openflagship.django"],
    MIDDLEWARE=["openflagship.django.FlagsMiddleware"],
    OPENFLAGSHIP={
        "server_key": os.environ["FLAGSHIP_SERVER_KEY"],
        "url": os.environ["FLAGSHIP_URL"],
        "stream_url": os.environ.get("FLAGSHIP_STREAM_URL"),
        "context": f"{__name__}.context_of",
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "an example has no secrets"),
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
)
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
