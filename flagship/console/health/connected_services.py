"""The page of the services that are connected to an environment, by name."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from flags.propagation.kill_status import services_of
from tenancy.console_kit.context import bind_to_address, console_context
from tenancy.console_kit.pages import console_page


def page(request: HttpRequest) -> HttpResponse:
    moved = bind_to_address(request)
    if moved is not None:
        return moved
    context = console_context(request)
    environment = context.environment
    shown: dict[str, Any] = {"services": [], "is_away": False}
    if environment is not None:
        try:
            shown["services"] = services_of(environment.pk)
        except RedisError:
            shown["is_away"] = True
    return console_page(
        request,
        "console/connected_services.html",
        title=f"Connected services in {environment}" if environment else "Connected services",
        environments=context.environments,
        current_environment=environment,
        **shown,
    )
