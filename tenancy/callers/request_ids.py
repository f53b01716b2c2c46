"""The id of the request that is being answered, for log lines, audit rows and error bodies."""

from django.http import HttpRequest
from rest_framework.request import Request

# The key in `request.META` under which the middleware leaves it.
META_KEY = "flagship.request_id"


def request_id_of(request: HttpRequest | Request) -> str:
    """Return the request's id; outside the middleware it is empty."""
    return str(request.META.get(META_KEY, ""))
