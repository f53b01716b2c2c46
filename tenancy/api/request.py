"""DRF's request with the true type of its caller."""

from rest_framework import request

from tenancy.callers.principals import Principal


class Request(request.Request):
    """`user` is the principal that our authentication sets; the stubs know only Django's users."""

    user: Principal  # type: ignore[assignment]  # the very point
