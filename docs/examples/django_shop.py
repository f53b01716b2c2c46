"""A Django service in one file: `python docs/examples/django_shop.py runserver 8100`, FLAGSHIP_ variables set."""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.urls import path
from openflagship import Context

PAGE = '{% load flags %}{% flag "new-checkout" as is_new %}{% if is_new %}new{% else %}old{% endif %}'


def context_of(request: HttpRequest) -> Context:
    """A real service would take the signed-in user: that is what happens without this setting."""
    return Context(request.GET.get("user"), {"country": request.GET.get("country")})


def checkout(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Template(PAGE).render(RequestContext(request)))


urlpatterns = [path("checkout", checkout)]

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
