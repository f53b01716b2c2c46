"""A new secret on its way to the one page that shows it: encrypted in the maker's session, and gone once it was shown.

So the form that made it is answered by a redirect, and loading the page again makes no second secret.
"""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from tenancy.console_kit.pages import console_page, list_url, object_url
from tenancy.models import Credential
from tenancy.services.credentials import IssuedCredential

_KEY = "console_secret_{pk}"


def _cipher() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"shown once:{settings.SECRET_KEY}".encode()).digest()))


def keep_secret(request: HttpRequest, thing: Model, secret: str) -> None:
    """Keep a new secret for the one page that shows it."""
    request.session[_KEY.format(pk=thing.pk)] = _cipher().encrypt(secret.encode()).decode()


def take_secret(request: HttpRequest, thing: Model, name: str) -> str | None:
    """The secret, which is forgotten with that; without one, None and a message that says so."""
    try:
        sealed = request.session.pop(_KEY.format(pk=thing.pk), "")
        return _cipher().decrypt(sealed.encode()).decode()
    except InvalidToken:
        messages.info(request, f"The secret of {name} was shown once. Make another one if it is lost.")
        return None


def to_secret_page(request: HttpRequest, issued: IssuedCredential) -> HttpResponse:
    """Redirect to the page that shows the secret."""
    keep_secret(request, issued.credential, issued.secret)
    return redirect(object_url(issued.credential, "secret"))


def secret_page(request: HttpRequest, credential: Credential) -> HttpResponse:
    """Show the secret to the person who made it, once, on a page that no browser stores."""
    account = credential.user if credential.user is not None and credential.user.service_of_id else None
    back_url = list_url(Credential)
    if account is not None:
        back_url = reverse("admin:tenancy_serviceaccount_change", args=[account.pk])
    secret = take_secret(request, credential, credential.name)
    if secret is None:
        return redirect(back_url)
    response = console_page(
        request,
        "tenancy/secret.html",
        title="Copy the secret now",
        issued=IssuedCredential(credential, secret),
        client_id=account.username if account is not None else "",
        tenant=credential.organization.slug,
        list_url=back_url,
    )
    response["Cache-Control"] = "no-store"
    return response
