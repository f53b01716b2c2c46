"""Editors of a document. The page sends it as JSON, as the API takes it, and the API's own validation answers.

`document-form.js` collects the document from the fields by the paths in their `data-field`. It puts each problem back
to its field by its path. docs/development.md tells how to mark up a form.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from openflagship.wire.bodies import text_problem
from rest_framework.serializers import Serializer

from audit.chain import canonical
from audit.models import Entry
from audit.services import is_same
from tenancy.api.documents import checked
from tenancy.console_kit import proposals
from tenancy.console_kit.conflicts import notice_of
from tenancy.errors import Invalid, Problem, ServiceError

# Stands for any value in a shape.
ANY: Final = object()
MOST_REASON: Final = 2_000


@dataclass(slots=True)
class DocumentEdit:
    """One person's edit: the sent document, the document that the page was opened with, and the page's messages.

    `base` is None for a document that does not exist yet.
    """

    document: dict[str, Any]
    base: dict[str, Any] | None = None
    version: int | None = None
    reason: str = ""
    problems: list[Problem] = field(default_factory=list)
    conflict: dict[str, Any] | None = None
    status: int = 200
    # Whether what was refused can be proposed to those who have to agree.
    is_proposable: bool = False

    @classmethod
    def opened(cls, document: Mapping[str, Any], version: int | None = None) -> "DocumentEdit":
        return cls(dict(document), dict(document), version)

    @classmethod
    def sent(cls, request: HttpRequest, base: Mapping[str, Any] | None = None) -> "DocumentEdit":
        """Read what a page sent. `base` replaces the document that the page was opened with if that cannot be read.

        A document that cannot be read becomes empty, with the problem that says so.
        """
        post = request.POST
        edit = cls({}, _object(post.get("base", ""), base), _number(post.get("version", "")))
        edit.reason = post.get("reason", "").strip()
        if text_problem(edit.reason) or len(edit.reason) > MOST_REASON:
            edit.problems.append(Problem("reason", "max_length", f"Give a reason of at most {MOST_REASON} characters."))
            edit.reason, edit.status = "", 422
        document = _object(post.get("document", ""), None)
        if document is None:
            problem = "The page's script did not send the form. Editing needs JavaScript: switch it on and try again."
            edit.problems, edit.status = [Problem(None, "no_document", problem)], 422
        else:
            edit.document = document
        return edit

    @property
    def base_text(self) -> str:
        return json.dumps(self.base, ensure_ascii=False, default=str) if self.base is not None else ""

    def checked(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """Return the whole document as the service takes it. Raises Invalid, with each problem's path."""
        if self.problems:
            raise Invalid(self.problems)
        return checked(serializer, self.document)

    def changes(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """Return the fields that this person changed, as the service takes them. Raises as `checked`."""
        sent = self.checked(serializer)
        try:
            base = checked(serializer, self.base or {})
        except Invalid:
            # The base was stored under older rules. Its fields are then compared as they are.
            base = dict(self.base or {})
        return {name: value for name, value in sent.items() if name not in base or not is_same(base[name], value)}

    def refuse(self, error: ServiceError) -> None:
        """Show what is wrong: 409 if the present state forbids the change, else 422."""
        self.problems = error.problems
        self.status = 409 if error.status == 409 else 422
        self.is_proposable = proposals.is_proposable(error)

    def refused(self, request: HttpRequest, error: ServiceError) -> HttpResponse | None:
        """Propose what was refused where the person asked for that, and return the answer; else show what is wrong."""
        made, refusal = proposals.answered(request, error, self.reason)
        if made is None:
            self.refuse(refusal)
        return made

    def confirmation(self, request: HttpRequest, changed: dict[str, Any]) -> str:
        """The fingerprint by which exactly this change is confirmed; empty once the person has confirmed it."""
        fingerprint = hashlib.sha256(canonical(changed).encode()).hexdigest()
        return "" if request.POST.get("confirmed") == fingerprint else fingerprint

    def merge(self, current: Mapping[str, Any], version: int, changed: Iterable[str], entries: QuerySet[Entry]) -> None:
        """Apply this person's changes to the current document, which somebody saved meanwhile, and show the other's."""
        names = set(changed)
        self.conflict = notice_of(entries, self.base or {}, current, names)
        self.document = {**current, **{name: self.document[name] for name in names if name in self.document}}
        self.base, self.version, self.status = dict(current), version, 409


def shaped(value: Any, shape: Any) -> Any:
    """Return `value` in the shape of `shape`, so that a template can show whatever was sent.

    A shape is a document of defaults; a list in it holds the shape of each item. A part that does not fit becomes the
    default.
    """
    if shape is ANY:
        return value
    if isinstance(shape, dict):
        given = value if isinstance(value, dict) else {}
        return {name: shaped(given.get(name), part) for name, part in shape.items()}
    if isinstance(shape, list):
        return [shaped(item, shape[0]) for item in value] if isinstance(value, list) else []
    if isinstance(shape, bool):
        return value if isinstance(value, bool) else shape
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return shape
    return str(value) if isinstance(shape, str) else value


def as_json(value: Any) -> str:
    """Return a value as JSON for a field, on one line unless it is a filled object or list."""
    indent = 2 if isinstance(value, (dict, list)) and value else None
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


def _object(text: str, fallback: Mapping[str, Any] | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else dict(fallback) if fallback is not None else None


def _refuse_constant(name: str) -> Any:
    """NaN and its kin are no JSON, although Python reads them."""
    raise ValueError(f"{name} is no JSON.")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
