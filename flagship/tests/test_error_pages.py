"""What goes wrong is said in the console's frame: what it means, who can help, and a way back."""

import pytest
import structlog
from django.test import Client
from django.urls import reverse

from flags import services
from flags.models import FlagConfig
from flagship.console import error_pages
from tenancy.testing import ALICE


def is_framed(answer):
    return 'id="nav-sidebar"' in answer.text and ">Home</a>" in answer.text


def test_denied__says_which_role_is_needed_and_who_can_give_it(console_viewer, console_owner, acme):
    answer = console_viewer.get(reverse("admin:flags_flagconfig_kill_all"), {"environment": acme.production.pk})

    assert (answer.status_code, is_framed(answer)) == (403, True)
    said = " ".join(answer.text.split())
    assert f"This needs the role owner in {acme.production}." in said
    assert f"Your role in {acme.production} is <strong>viewer</strong>. olga can give you another one" in said


@pytest.mark.parametrize(
    "path", ["/admin/nowhere/", "/nowhere", "/admin/flags/flagconfig/999999/change/", "/admin/flags/flagconfig/x/kill/"]
)
def test_not_found__is_in_the_frame(console_viewer, acme, path):
    answer = console_viewer.get(path)

    assert (answer.status_code, is_framed(answer)) == (404, True)


def test_not_found__for_a_stranger__stands_alone(client, db):
    answer = client.get("/nowhere")

    assert answer.status_code == 404
    assert "nav-sidebar" not in answer.text


def test_unreadable__is_in_the_frame(console_viewer, acme):
    answer = console_viewer.get("/admin/flags/flagconfig/", {"q": "a\x00"})

    assert (answer.status_code, is_framed(answer)) == (400, True)


def test_form_without_its_token__is_in_the_frame(console_editor, acme):
    services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "one"})
    config = FlagConfig.objects.get(environment=acme.staging)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = console_editor.cookies

    answer = strict.post(reverse("admin:flags_flagconfig_kill", args=[config.pk]), {"reason": "x"})

    assert (answer.status_code, is_framed(answer)) == (403, True)
    assert "Nothing was changed. Load the page anew." in answer.text


def test_broken__is_said_with_the_request_and_without_a_trace(console_viewer, acme, monkeypatch):
    console_viewer.raise_request_exception = False
    monkeypatch.setattr("flagship.console.health.health_page.lines", lambda _: 1 / 0)

    answer = console_viewer.get(reverse("console_health"), {"environment": acme.production.pk})

    assert (answer.status_code, is_framed(answer)) == (500, True)
    assert answer.headers["X-Request-ID"] in answer.text
    assert "ZeroDivisionError" not in answer.text


def test_broken__with_the_frame_too__stands_alone(console_viewer, acme, monkeypatch):
    console_viewer.raise_request_exception = False

    def broken(*_, **__):
        raise RuntimeError("no frame either")

    monkeypatch.setattr("flagship.console.health.health_page.lines", broken)
    monkeypatch.setattr(error_pages, "console_page", broken)
    answer = console_viewer.get(reverse("console_health"), {"environment": acme.production.pk})

    assert (answer.status_code, "Something broke here" in answer.text) == (500, True)


def test_refused__before_anybody_is_known__stands_alone_and_is_no_failure_of_the_frame(client, db):
    with structlog.testing.capture_logs() as logged:
        answer = client.get("/admin/", headers={"host": "elsewhere.example"})

    assert (answer.status_code, "This cannot be read" in answer.text) == (400, True)
    assert [entry for entry in logged if entry["event"] == "error_page_without_frame"] == []
