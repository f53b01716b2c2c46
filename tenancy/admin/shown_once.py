"""A new secret on its way to the one page that shows it: encrypted in the maker's session, and gone once it was shown.

So the form that made it is answered by a redirect, and loading the page again makes no second secret.
"""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from tenancy.console_kit.pages import console_page, list_url, object_url
from tenancy.models import Credential
from tenancy.services.credentials import IssuedCredential

_KEY = "console_secret_{pk}"


def _cipher() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"shown once:{settings.SECRET_KEY}".encode()).digest()))


def to_secret_page(request: HttpRequest, issued: IssuedCredential) -> HttpResponse:
    """Redirect to the page that shows the secret."""
    sealed = _cipher().encrypt(issued.secret.encode()).decode()
    request.session[_KEY.format(pk=issued.credential.pk)] = sealed
    return redirect(object_url(issued.credential, "secret"))


def secret_page(request: HttpRequest, credential: Credential) -> HttpResponse:
    """Show the secret to the person who made it, once, on a page that no browser stores."""
    account = credential.user if credential.user is not None and credential.user.service_of_id else None
    back_url = list_url(Credential)
    if account is not None:
        back_url = reverse("admin:tenancy_serviceaccount_change", args=[account.pk])
    try:
        sealed = request.session.pop(_KEY.format(pk=credential.pk), "")
        secret = _cipher().decrypt(sealed.encode()).decode()
    except InvalidToken:
        messages.info(request, f"The secret of {credential.name} was shown once. Make another one if it is lost.")
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
