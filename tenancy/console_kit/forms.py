"""Small forms: one page shows them, with a service's problems beside their fields."""

import json
import re
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, QueryDict

from tenancy.console_kit import proposals
from tenancy.console_kit.pages import console_page
from tenancy.errors import ServiceError
from tenancy.models import Environment

Merge = Callable[[dict[str, Any]], tuple[BaseForm, dict[str, Any]]]


class _Decoder(json.JSONDecoder):
    """Says of a text that is nested too deeply, or has a number too long to read, that it is no JSON."""

    def decode(self, s: str, *given: Any) -> Any:
        try:
            return super().decode(s, *given)
        except json.JSONDecodeError:
            raise
        except (RecursionError, ValueError) as error:
            raise json.JSONDecodeError("It is nested too deeply, or has a number too long to read", s, 0) from error


class TypedJSONField(forms.JSONField):
    """JSON that somebody typed, or sent in its place: whatever cannot be read is said beside the field."""

    def __init__(self, **given: Any) -> None:
        super().__init__(decoder=_Decoder, **given)


def sent_data(request: HttpRequest) -> QueryDict | None:
    """Return what a form is bound to: the sent fields on POST, even if there are none, and None on GET."""
    return request.POST if request.method == "POST" else None


def form_page(
    request: HttpRequest,
    form: BaseForm,
    perform: Callable[[dict[str, Any]], HttpResponse],
    *,
    title: str,
    submit: str,
    cancel_url: str,
    names: dict[str, str] | None = None,
    merge: Merge | None = None,
    serves: Environment | None = None,
    **shown: Any,
) -> HttpResponse:
    """Show a form. Once it is sent and valid, hand its data to `perform`, and show what that refuses at the fields.

    `names` maps the service's name of a field to the form's. If somebody else saved meanwhile, `merge` returns a form
    with both changes, and the notice of theirs. `serves` is the environment in which saving changes what is served.
    """
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                return proposals.attempted(request, lambda: perform(form.cleaned_data), serves)
            except ServiceError as error:
                if merge is not None and error.problems[0].code == "version_conflict":
                    form, shown["conflict"] = merge(form.cleaned_data)
                    submit, status = "Save mine over theirs", 409
                else:
                    made, refusal = proposals.answered(request, error)
                    if made is not None:
                        return made
                    if proposals.is_proposable(refusal):
                        shown["is_proposable"], status = True, 409
                    add_problems(form, refusal, names)
    shown |= {"form": form, "serves": serves, "submit": submit, "cancel_url": cancel_url}
    return console_page(request, "console/form.html", title=title, status=status, **shown)


def add_problems(form: BaseForm, error: ServiceError, names: dict[str, str] | None = None) -> None:
    """Put a service's problems next to the form's fields; `names` maps the service's name of a field to the form's."""
    for problem in error.problems:
        # A path such as conditions.all[0].value is about the field it begins with.
        first = re.split(r"[.\[]", problem.attr or "", maxsplit=1)[0]
        name = (names or {}).get(first, first)
        # A problem beside a hidden field would not be seen.
        is_shown = name in form.fields and not form[name].is_hidden
        form.add_error(name if is_shown else None, problem.detail)


def say_problems(request: HttpRequest, error: ServiceError) -> None:
    for problem in error.problems:
        messages.error(request, problem.detail)
