"""Saved views of lists: a convenience, so not in the audit log; the owner's alone to change."""

from urllib.parse import parse_qsl, urlencode

from django.db import transaction

from tenancy.models import Organization, SavedView, User
from tenancy.services import rows

# Where somebody was on the page is no part of a view.
_PASSING = frozenset({"p", "e", "environment"})


@transaction.atomic
def save_view(
    *, user: User, organization: Organization, page: str, name: str, query: str, is_shared: bool = False
) -> SavedView:
    """Keep a list's filters; a view of that name is replaced. Raises Invalid."""
    kept = urlencode([(key, value) for key, value in parse_qsl(query) if key not in _PASSING])
    found = SavedView.objects.filter(user=user, organization=organization, page=page, name=name).first()
    view = found or SavedView(user=user, organization=organization, page=page, name=name)
    view.query, view.is_shared = kept, is_shared
    rows.clean(view)
    view.save()
    return view


@transaction.atomic
def delete_view(*, user: User, pk: int) -> None:
    """Delete a view of one's own; nobody else's is touched."""
    SavedView.objects.filter(pk=pk, user=user).delete()
