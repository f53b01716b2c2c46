"""`var/demo.json`: the credentials of the demo, for scripts and people. Secrets that still work are kept."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from audit.actors import Actor
from tenancy import credentials
from tenancy.models import Credential, Environment, Membership, Organization, User
from tenancy.roles import Role
from tenancy.services import add_member, issue_credential, revoke_credential

ADMIN = "admin"
_NAMES = {
    "serverKey": ("server", "Demo server key"),
    "clientKey": ("client", "Demo client key"),
    "managementToken": ("manage", "Demo management token"),
}


def path() -> Path:
    return Path(settings.VAR_DIR) / "demo.json"


def read() -> dict[str, Any]:
    """Return the file's content, or {} if there is none or it cannot be read."""
    try:
        found = json.loads(path().read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def read_or_refuse() -> dict[str, Any]:
    found = read()
    if not found:
        raise CommandError(f"{path()} is not there; run `manage.py seed_demo` (or `make run`) first.")
    return found


def addresses(known: Mapping[str, Any]) -> dict[str, str]:
    """Where the platform is reached: as this process was told, else as before, for a run may use other ports."""
    found = {"baseUrl": settings.BASE_URL, "streamUrl": settings.STREAM_URL}
    told = {"baseUrl": "FLAGSHIP_BASE_URL", "streamUrl": "FLAGSHIP_STREAM_URL"}
    return {name: url if os.environ.get(told[name]) else known.get(name, url) for name, url in found.items()}


def write(content: Mapping[str, Any]) -> bool:
    """Write the file for its owner alone. Returns False if nothing changes."""
    if read() == content:
        path().chmod(0o600)
        return False
    path().parent.mkdir(parents=True, exist_ok=True)
    scratch = path().with_suffix(".json.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    scratch.replace(path())
    return True


def ensure_admin(known: Mapping[str, Any]) -> tuple[User, str | None]:
    """Return the console's user, with the password if it is known. An account of a real installation stays as it is."""
    user = User.objects.filter(username=ADMIN).first()
    password = known.get("adminPassword")
    if user is None:
        password = password or secrets.token_urlsafe(12)
        return User.objects.create_superuser(username=ADMIN, password=password), password
    if password and user.check_password(password):
        return user, password
    if not settings.EMBEDDED:
        return user, None
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save(update_fields=["password"])
    return user, password


def ensure_owner(actor: Actor, user: User, organization: Organization) -> None:
    if not Membership.objects.filter(user=user, organization=organization, project__isnull=True).exists():
        add_member(actor=actor, user=user, role=Role.OWNER, organization=organization)


def ensure_credentials(
    actor: Actor, known: Mapping[str, Any], *, user: User, environment: Environment
) -> dict[str, str]:
    """Return a server key, a client key and a management token: those of `known` that still work, else new ones."""
    organization = environment.project.organization
    found = {}
    for field, (kind, name) in _NAMES.items():
        is_token = kind == Credential.Kind.MANAGE
        scope = {"user": user} if is_token else {"environment": environment}
        live = Credential.objects.filter(
            kind=kind, name=name, organization=organization, revoked_at__isnull=True, expires_at__isnull=True, **scope
        )
        secret = known.get(field) or ""
        if any(credentials.matches(secret, bytes(row.secret_hash)) for row in live):
            found[field] = secret
            continue
        for row in live:
            revoke_credential(actor=actor, credential=row, reason="Its secret is not in var/demo.json any more.")
        issued = issue_credential(actor=actor, kind=kind, name=name, organization=organization, **scope)
        found[field] = issued.secret
    return found
