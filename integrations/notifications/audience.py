"""Who is told of an event: whoever owns the thing that it is about, else whoever made it; and whoever follows it."""

from collections.abc import Iterable

from django.db.models import Q

from audit.models import Entry
from integrations.models import Follow, Notification
from integrations.subjects import concerned_by, owners_of, tags_of
from tenancy import access
from tenancy.callers.principals import principal_of_user
from tenancy.models import User

_Kind, _Why = Follow.Kind, Notification.Why


def audience_of(entry: Entry) -> dict[User, str]:
    """People and why each is told. Nobody is told of what they did themselves, or of what they may not see."""
    told: dict[int, str] = {}
    for user_id in _followers(entry):
        told[user_id] = _Why.FOLLOWED
    for user_id in [*(owners_of(entry) or _makers(entry)), *concerned_by(entry)]:
        told[user_id] = _Why.MINE
    if entry.actor_kind == "user":
        told = {user_id: why for user_id, why in told.items() if str(user_id) != entry.actor_id}
    people = User.objects.filter(pk__in=told, is_active=True, service_of__isnull=True)
    return {user: told[user.pk] for user in people if _may_see(user, entry)}


def _followers(entry: Entry) -> Iterable[int]:
    here = Follow.objects.filter(organization=entry.organization_id, project=entry.project)
    named = Q(kind=entry.entity_type, key=entry.entity_key)
    if here.filter(kind=_Kind.TAG).exists():
        named |= Q(kind=_Kind.TAG, key__in=tags_of(entry))
    return here.filter(named).values_list("user_id", flat=True)


def _makers(entry: Entry) -> Iterable[int]:
    """Who made the thing, as the log has it: the people who did the first act on it."""
    made = Entry.objects.filter(
        organization_id=entry.organization_id,
        entity_type=entry.entity_type,
        entity_key=entry.entity_key,
        project=entry.project,
        action=f"{entry.entity_type}.created",
        actor_kind="user",
    )
    return [int(actor) for actor in made.values_list("actor_id", flat=True) if actor.isdecimal()]


def _may_see(user: User, entry: Entry) -> bool:
    return Entry.objects.filter(access.audit_scope(principal_of_user(user)), pk=entry.pk).exists()
