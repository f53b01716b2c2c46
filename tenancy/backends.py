"""Signing in to the console: Django's own check, with a limit on wrong attempts. A service account cannot sign in."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from tenancy.authentication.attempts import Attempts
from tenancy.authentication.devices import SIGNED_IN
from tenancy.errors import RateLimited
from tenancy.models import User


class ThrottledBackend(ModelBackend):
    """After too many wrong passwords the right one is refused too, until the lock-out ends."""

    def authenticate(  # type: ignore[override]  # Django's backends name the credentials they know, the stubs none
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> AbstractBaseUser | None:
        if request is None or username is None or password is None:
            return super().authenticate(request, username=username, password=password, **kwargs)
        attempts = Attempts.of(request, username)
        try:
            attempts.refuse_if_too_many()
        except RateLimited as error:
            raise PermissionDenied from error
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None:
            attempts.failed()
        else:
            attempts.succeeded()
            request.META[SIGNED_IN] = attempts.name
        return user

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) and not (isinstance(user, User) and user.is_service)
