"""Saved views of lists. They are not audited, and only their owner can change them."""

from urllib.parse import parse_qsl, urlencode

from django.db import transaction

from tenancy.models import Organization, SavedView, User
from tenancy.services import rows

# The page number and the like are not part of a view.
_PASSING = frozenset({"p", "e", "environment"})


@transaction.atomic
def save_view(
    *, user: User, organization: Organization, page: str, name: str, query: str, is_shared: bool = False
) -> SavedView:
    """Save a list's filters; a view of that name is replaced. Raises Invalid."""
    kept = urlencode([(key, value) for key, value in parse_qsl(query) if key not in _PASSING])
    found = SavedView.objects.filter(user=user, organization=organization, page=page, name=name).first()
    view = found or SavedView(user=user, organization=organization, page=page, name=name)
    view.query, view.is_shared = kept, is_shared
    rows.clean(view)
    view.save()
    return view


@transaction.atomic
def delete_view(*, user: User, pk: int) -> None:
    """Delete one of the user's own views."""
    SavedView.objects.filter(pk=pk, user=user).delete()
