"""The forms that ask for a password. All of them count wrong guesses together, and tell a person who is locked out."""

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm

from tenancy.authentication.attempts import Attempts
from tenancy.errors import RateLimited


def _refuse_if_too_many(attempts: Attempts) -> None:
    try:
        attempts.refuse_if_too_many()
    except RateLimited as error:
        raise ValidationError(str(error), code=error.code) from error


class SignInForm(AuthenticationForm):
    """The sign-in form. The backend counts; the form says that a name is locked out, whether or not anybody has it."""

    def get_invalid_login_error(self) -> ValidationError:
        try:
            _refuse_if_too_many(Attempts.of(self.request, self.cleaned_data["username"]))
        except ValidationError as refusal:
            return refusal
        return super().get_invalid_login_error()


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    """Changes a password. A person with somebody's open session can guess no faster here than at sign-in."""

    def __init__(self, *args: Any, request: HttpRequest, **given: Any) -> None:
        super().__init__(*args, **given)
        self._attempts = Attempts.of(request, self.user.get_username())

    def clean_old_password(self) -> str:
        _refuse_if_too_many(self._attempts)
        try:
            old: str = super().clean_old_password()
        except ValidationError:
            self._attempts.failed()
            raise
        self._attempts.succeeded()
        return old
