"""A real OpenID provider on this machine, and what tells it who somebody is."""

import subprocess
import sys

import pytest
import requests

from flags.testing.cluster import free_port
from flagship.tests.stack import eventually
from tenancy import single_sign_on
from tenancy.group_roles import read_group_roles

GROUP_ROLES = {
    "developers": ["acme:editor", "acme/web/production:viewer"],
    "leads": "acme:admin",
    "bosses": "acme:owner",
}


@pytest.fixture(scope="module")
def provider():
    # A process of its own: what its libraries deprecate is no error of ours.
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    running = subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _answers(f"{address}/.well-known/openid-configuration"), what="the provider answers")
        yield address
    finally:
        running.terminate()
        running.wait(90)


def _answers(address):
    try:
        return requests.get(address, timeout=90).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def sso(settings, provider):
    settings.OIDC_ISSUER = provider
    settings.OIDC_RP_CLIENT_ID = "flagship"
    settings.OIDC_RP_CLIENT_SECRET = "s3cret"
    settings.OIDC_GROUP_ROLES = read_group_roles(GROUP_ROLES)
    settings.AUTHENTICATION_BACKENDS = [
        *settings.AUTHENTICATION_BACKENDS,
        "tenancy.single_sign_on.SingleSignOnBackend",
    ]
    single_sign_on.discover.cache_clear()
    yield provider
    single_sign_on.discover.cache_clear()


def know(provider, sub, *groups, **claims):
    """Tell the provider who somebody is."""
    given = {"email": f"{sub}@example.com", "preferred_username": sub, "groups": list(groups), **claims}
    requests.put(f"{provider}/users/{sub}", json=given, timeout=90).raise_for_status()
