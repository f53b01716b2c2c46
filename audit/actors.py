"""Who acts: a small value that travels from the request to the audit row."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, a service or the system itself; `credential` is a key's public prefix, never its secret."""

    kind: str
    id: str
    label: str
    credential: str = ""
    request_id: str = ""


def system(task: str) -> Actor:
    """The platform acting by itself: a nightly task, a guardrail, the seeding of the demo."""
    return Actor(kind="system", id=task, label=f"system ({task})")
