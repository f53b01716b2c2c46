"""DRF's request with its caller's true type, for the views to be written against."""

from rest_framework import request

from tenancy.principals import Principal


class Request(request.Request):
    """`user` is what our authentication puts there; the stubs know Django's users alone."""

    user: Principal  # type: ignore[assignment]  # the very point
