"""The page that shows how far the audit log is signed: the last head, when, with which key, and how to check it all."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from audit.chain import Head, is_reached, keys, last_head
from audit.models import Entry
from tenancy.console_kit.context import console_context
from tenancy.console_kit.pages import console_page
from tenancy.models import Organization


@dataclass(frozen=True, slots=True)
class Proof:
    """What is signed of an organization's chain. `since` counts the rows that no head covers yet."""

    organization: Organization
    head: Head | None
    signed_at: datetime | None
    is_reached: bool
    is_present_key: bool
    since: int

    @property
    def command(self) -> str:
        return f"manage.py verify_audit --organization {self.organization.pk}"


def page(request: HttpRequest) -> HttpResponse:
    """Of each organization in which this person has a role on the whole: its chain is of all that happened there."""
    context = console_context(request)
    path = Path(settings.AUDIT_HEADS_FILE)
    roles = context.organization_roles
    proofs, trouble = [], ""
    try:
        proofs = [_proof(path, organization) for organization in context.organizations if organization.pk in roles]
    except FileNotFoundError:
        trouble = "is not there, or this process does not see it. A worker writes it each hour."
    except OSError as error:
        trouble = f"cannot be read: {error.strerror}."
    return console_page(
        request,
        "tenancy/audit_proof.html",
        title="Signed heads",
        proofs=proofs,
        path=path,
        trouble=trouble,
        roles=roles,
    )


def _proof(path: Path, organization: Organization) -> Proof:
    head = last_head(path, organization.pk)
    position = head.position if head is not None else 0
    return Proof(
        organization=organization,
        head=head,
        signed_at=datetime.fromisoformat(head.at) if head is not None else None,
        is_reached=head is not None and is_reached(head),
        is_present_key=head is not None and head.key_id == keys()[0].id,
        since=Entry.objects.filter(organization_id=organization.pk, position__gt=position).count(),
    )
