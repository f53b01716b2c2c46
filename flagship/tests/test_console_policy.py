"""The content security policy that every answer carries."""

import re

import pytest
from django.conf import settings
from django.urls import reverse


def directives(response):
    header = response.headers["Content-Security-Policy"]
    return {name: sources.split() for name, _, sources in (part.strip().partition(" ") for part in header.split(";"))}


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/", "/api/docs/", "/api/v1/nothing", "/healthz"])
def test_policy__any_page__allows_our_own_files_only(console_owner, path):
    policy = directives(console_owner.get(path))

    assert policy["default-src"] == ["'none'"]
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == ["'none'"]
    assert policy["form-action"] == policy["connect-src"] == ["'self'"]
    sources = {source for name in ("script-src", "style-src") for source in policy[name]}
    assert {source for source in sources if not source.startswith("'nonce-")} == {"'self'"}
    assert policy["script-src-attr"] == policy["style-src-attr"] == ["'none'"]


def test_policy__nonce__is_new_each_time_and_on_every_inline_element(console_owner):
    pages = [console_owner.get(reverse("admin:index"), follow=True) for _ in range(2)]

    nonces = [re.search(r"'nonce-([^']+)'", page.headers["Content-Security-Policy"]).group(1) for page in pages]
    assert nonces[0] != nonces[1]
    for page, nonce in zip(pages, nonces, strict=True):
        inline = re.findall(r"<style[^>]*>|<script(?![^>]*\ssrc=)[^>]*>", page.text)
        assert inline
        assert all(f'nonce="{nonce}"' in tag for tag in inline)


def test_policy__our_templates__have_no_style_attribute():
    """The policy would leave it without effect, and the browser would complain."""
    templates = list((settings.BASE_DIR / "templates").rglob("*.html"))

    assert len(templates) > 50
    assert [path.name for path in templates if re.search(r"""\s(x-bind:|:)?style="[^{]""", path.read_text())] == []
