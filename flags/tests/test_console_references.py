"""Code references on a flag's page: links to lines, since when one is gone, and what to do where nothing is known."""

import pytest
from django.urls import reverse

from flags import services
from flags.references.scans import record_scan
from tenancy.testing import ALICE


@pytest.fixture
def config(acme):
    return services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "new-checkout"})[0]


@pytest.fixture
def shown(config, console_viewer):
    url = reverse("admin:flags_flagconfig_references", args=[config.pk])
    return lambda: console_viewer.get(url).text


@pytest.fixture
def scan(config):
    def _scan(*places, **changes):
        flags = [{"key": "new-checkout", "count": len(places), "places": list(places)}] if places else []
        sent = {"repository": "acme/shop", "branch": "main", "revision": "abc", "flags": flags, **changes}
        return record_scan(actor=ALICE, project=config.flag.project, payload=sent)

    return _scan


def test_references__before_any_scan__say_how_to_scan(shown, acme):
    page = shown()

    assert f"openflagship refs scan --upload --project {acme.staging.project.key}" in page
    assert "No code refers" not in page


def test_references__found__are_linked_and_gone_ones_have_their_date(shown, scan):
    places = [{"path": "a b.py", "line": number, "alias": "NEW_CHECKOUT", "text": "if <b>"} for number in range(1, 25)]
    scan(*places, url="https://gitlab.example.com/acme/shop.git")
    page = shown()

    assert 'href="https://gitlab.example.com/acme/shop/-/blob/abc/a%20b.py#L20"' in page
    assert "<code>a b.py:1</code>" in page
    assert "as <code>NEW_CHECKOUT</code>" in page
    assert "if &lt;b&gt;" in page
    assert "And 4 more." in page

    scan()
    page = shown()
    assert "No code refers to this flag since" in page
    assert "gone since" in page


def test_references__of_an_unknown_host__are_no_links(shown, scan):
    scan({"path": "a.py", "line": 1}, url="https://code.example.com/acme/shop")
    assert "href" not in shown()

    scan({"path": "a.py", "line": 1}, linkTemplate="https://code.example.com/{branch}/{path}?l={line}")
    assert 'href="https://code.example.com/main/a.py?l=1"' in shown()
