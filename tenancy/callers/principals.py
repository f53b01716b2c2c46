"""The caller, whatever it presented: an environment's key, a person's token, or a console session."""

from dataclasses import dataclass

from audit.actors import Actor
from tenancy.models import User


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller; DRF's `request.user`. `environment_id` is set for server and client keys alone."""

    kind: str
    actor: Actor
    organization_id: int | None = None
    organization_slug: str = ""
    environment_id: int | None = None
    user_id: int | None = None
    # Whether it is an account for a program.
    is_service: bool = False
    # A key's name, which exposures name as their source.
    name: str = ""

    is_authenticated = True

    @property
    def is_key(self) -> bool:
        return self.environment_id is not None

    @property
    def own_environment_id(self) -> int:
        """Return the environment of a key, for views that only keys may call."""
        if self.environment_id is None:
            raise ValueError("Only a server or client key has an environment of its own.")
        return self.environment_id


def principal_of_user(
    user: User,
    *,
    request_id: str = "",
    credential: str = "",
    organization_id: int | None = None,
    organization_slug: str = "",
) -> Principal:
    """Return a person's principal: of the console, or of a management token, which is bound to its organization."""
    actor = Actor(kind="user", id=str(user.pk), label=user.get_username(), credential=credential, request_id=request_id)
    return Principal(
        kind="user",
        actor=actor,
        organization_id=organization_id,
        organization_slug=organization_slug,
        user_id=user.pk,
        # The page for signing in asks for nobody yet.
        is_service=user.is_authenticated and user.is_service,
    )
