"""The same bare evaluation as a plain Django view and as a DRF view: no middleware, no authentication, no throttle."""

import json

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path

from benchmarks.http.floors import answer

settings.configure(
    SECRET_KEY="benchmark",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=[],
    INSTALLED_APPS=["rest_framework"],
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "DEFAULT_THROTTLE_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
    },
)
django.setup()

from rest_framework.request import Request  # noqa: E402 - Django must be configured first
from rest_framework.response import Response  # noqa: E402 - likewise
from rest_framework.views import APIView  # noqa: E402 - likewise


def plain(request: HttpRequest) -> JsonResponse:
    return JsonResponse(answer(json.loads(request.body)))


class Bare(APIView):
    def post(self, request: Request) -> Response:
        return Response(answer(request.data))


urlpatterns = [path("plain", plain), path("drf", Bare.as_view())]
application = WSGIHandler()
