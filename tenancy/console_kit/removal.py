"""Deletes an object in the console: who may delete it, what goes with it, and which service does it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

from audit.actors import Actor
from tenancy.console_kit.confirm import ConfirmPage
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import list_url, object_url

Thing = TypeVar("Thing", bound=Model)


@dataclass(frozen=True, slots=True)
class Removal(Generic[Thing]):
    """`delete` takes the actor, the object and the reason, and raises ServiceError, whose message is shown.

    `is_served` says that what is deleted decides what its environment serves.
    """

    may: Callable[[HttpRequest, Thing], bool]
    consequence: Callable[[Thing], str]
    delete: Callable[[Actor, Thing, str], None]
    is_served: bool = False

    def url(self, request: HttpRequest, thing: Thing) -> str:
        """Return the address of the delete page; it is empty for people who may not delete."""
        return object_url(thing, "delete") if self.may(request, thing) else ""

    def page(self, request: HttpRequest, thing: Thing) -> HttpResponse:
        if not self.may(request, thing):
            raise PermissionDenied
        name = str(thing)

        def act(sent: dict[str, Any]) -> str:
            self.delete(console_context(request).actor, thing, sent["reason"])
            return f"{name} is deleted."

        return ConfirmPage(
            title=f"Delete {name}?",
            submit="Delete for good",
            act=act,
            cancel_url=list_url(thing, environment=console_context(request).bound),
            intro=self.consequence(thing),
            tone="danger",
            serves=getattr(thing, "environment", None) if self.is_served else None,
        ).answer(request)
