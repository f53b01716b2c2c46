"""One line of the health page."""

from dataclasses import dataclass

from django.urls import reverse


@dataclass(frozen=True, slots=True)
class Line:
    """The state of one part. `means` and `remedy` help whoever sees the line, or a red line, for the first time."""

    anchor: str
    name: str
    value: str
    note: str
    tone: str
    means: str
    remedy: str
    more_url: str = ""
    more: str = ""

    @property
    def url(self) -> str:
        return f"{reverse('console_health')}#{self.anchor}"
