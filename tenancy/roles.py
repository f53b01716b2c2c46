"""The registry of roles: their names, ranks and tones. A new role is one line here."""

from django.db.models import TextChoices


class Role(TextChoices):
    """What a member may do, the strongest first: each role may do all that the roles after it may do."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    EDITOR = "editor", "Editor"
    VIEWER = "viewer", "Viewer"

    @property
    def rank(self) -> int:
        """Return the rank; 0 is the weakest role."""
        return len(Role) - 1 - list(Role).index(self)

    def covers(self, needed: "Role") -> bool:
        return self.rank >= needed.rank

    @property
    def is_for_organizations_alone(self) -> bool:
        """Return whether groups can give the role only on a whole organization."""
        return self is Role.OWNER

    @property
    def tone(self) -> str:
        """Return the console's color of the role's label."""
        return _TONES[self]


_TONES = {Role.OWNER: "primary", Role.ADMIN: "info", Role.EDITOR: "success", Role.VIEWER: "default"}
