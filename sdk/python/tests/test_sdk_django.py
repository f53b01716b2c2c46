"""The Django helper: the request's user, looked up when a flag is asked for, in views and templates."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.template import Context as TemplateContext
from django.template import Engine
from django.test import RequestFactory, override_settings
from documents import rule, snapshot
from openflagship import Context, FlagShip
from openflagship.django import FlagsMiddleware, get_client, set_client
from sdk_fixtures import treatment

RULE = rule([{"attribute": "userId", "operator": "equals", "value": "42"}], variant="control")


@pytest.fixture(autouse=True)
def client() -> Iterator[FlagShip]:
    made = FlagShip("", "http://offline.invalid", bootstrap=snapshot(treatment(rules=[RULE])), is_offline=True)
    set_client(made)
    yield made
    set_client(None)


def handled(request: HttpRequest) -> HttpRequest:
    seen: list[HttpRequest] = []

    def view(given: HttpRequest) -> HttpResponse:
        seen.append(given)
        return HttpResponse()

    FlagsMiddleware(view)(request)
    return seen[0]


def signed_in(pk: int) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = SimpleNamespace(pk=pk, is_authenticated=True)  # type: ignore[assignment]  # all that is asked of it
    return request


def context_of(request: HttpRequest) -> Context:
    return Context(request.headers["X-User"])


def test_request_flags__signed_in_user__is_the_unit() -> None:
    assert handled(signed_in(42)).flags.is_enabled("asked") is False  # type: ignore[attr-defined]  # the middleware's
    detail = handled(signed_in(7)).flags.variation_detail("asked")  # type: ignore[attr-defined]  # the middleware's
    assert (detail.value, detail.reason) == (True, "ROLLOUT")


def test_request_flags__context_of_your_own__is_used() -> None:
    request = RequestFactory().get("/", headers={"X-User": "42"})
    with override_settings(OPENFLAGSHIP={"context": f"{__name__}.context_of"}):
        try:
            flags = handled(request).flags  # type: ignore[attr-defined]  # the middleware's
        except ImportError:
            pytest.fail("the dotted path was not imported")
    assert flags.is_enabled("asked") is False


def test_template_tag__with_and_without_a_request__renders() -> None:
    engine = Engine(libraries={"flags": "openflagship.django.templatetags.flags"})
    template = engine.from_string('{% load flags %}{% flag "asked" as on %}{% if on %}new{% else %}old{% endif %}')

    assert template.render(TemplateContext({"request": handled(signed_in(7))})) == "new"
    assert template.render(TemplateContext({"request": handled(signed_in(42))})) == "old"
    assert template.render(TemplateContext({})) == "old"


@pytest.mark.parametrize("found", [None, {}, {"server_key": "k"}, {"server_key": "k", "url": "nowhere"}])
def test_get_client__settings_missing__says_what_to_set(found: dict[str, str] | None) -> None:
    set_client(None)
    with override_settings(OPENFLAGSHIP=found), pytest.raises(ImproperlyConfigured, match="OPENFLAGSHIP"):
        get_client()
