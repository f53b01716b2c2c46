"""What a migration may not do to a system that serves meanwhile, read from its operations.

A migration that has to do it all the same says why, in a class attribute: `safe_because = {"AddIndex by_key": "…"}`.
The words before the reason are those of the problem.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import connection, migrations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED, Field
from django.db.models.constraints import BaseConstraint

_TEXT = re.compile(r"(varchar|character varying)\((\d+)\)|(text)|(varchar)")
_ALTER = r"alter table (?:only )?(?P<table>\w+) .*"
# A statement on a table that was there before, and what is wrong with it unless the last words are in it too.
_STATEMENTS = (
    (r"create (?:unique )?index (?!concurrently).* on (?:only )?(?P<table>\w+)", "locks writes meanwhile", None),
    (r"reindex (?!.*concurrently).*?(?P<table>\w+)$", "locks the table meanwhile", None),
    (_ALTER + r"\btype\b", "rewrites the table", None),
    (_ALTER + r"set not null", "reads the whole table under a lock", None),
    (_ALTER + r"add column .* not null", "fails where there are rows", "default"),
    (_ALTER + r"add .*\b(?:check|foreign key)\b", "reads the whole table under a lock", "not valid"),
    (_ALTER + r"add .*\b(?:unique|primary key|exclude)\b", "builds an index under a lock", "using index"),
    (_ALTER + r"(?:rename|drop column)", "breaks the release that still runs", None),
    (r"drop table (?:if exists )?(?P<table>\w+)", "breaks the release that still runs", None),
    (r"(?:vacuum full|cluster|lock table|truncate) ?(?:table )?(?P<table>\w+)", "locks the table", None),
)
_NEW_TABLE = re.compile(r"create (?:unlogged )?table (?:if not exists )?(\w+)")


class Problem(NamedTuple):
    """What an operation does, as `safe_because` names it, and why that is a problem."""

    what: str
    why: str


def problems(migration: migrations.Migration, before: ProjectState) -> list[Problem]:
    """The migration's problems that it does not explain, and explanations of nothing."""
    state = before.clone()
    created = set(_tables_in(migration.operations))
    found: list[Problem] = []
    for number, operation in enumerate(migration.operations, start=1):
        for inner in _flattened(operation):
            found += _problems_of(inner, number, migration.app_label, state, created)
        if isinstance(operation, migrations.CreateModel):
            created.add(operation.name_lower)
        operation.state_forwards(migration.app_label, state)
    explained: dict[str, str] = getattr(migration, "safe_because", {})
    open_ones = [problem for problem in found if len(explained.get(problem.what, "")) < 10]
    known = {problem.what for problem in found}
    return open_ones + [Problem(what, "is explained and not done") for what in explained if what not in known]


def irreversible(migration: migrations.Migration) -> list[str]:
    return [
        inner.describe()
        for operation in migration.operations
        for inner in _flattened(operation)
        if not inner.reversible
    ]


def _flattened(operation: Operation) -> Iterator[Operation]:
    """What runs on the database: of a split operation its database half."""
    if isinstance(operation, migrations.SeparateDatabaseAndState):
        for inner in operation.database_operations:
            yield from _flattened(inner)
    else:
        yield operation


def _problems_of(
    operation: Operation, number: int, app: str, state: ProjectState, created: set[str]
) -> Iterator[Problem]:
    if isinstance(operation, migrations.RunSQL):
        for why in _problems_of_sql(_text_of(operation.sql), created):
            yield Problem(f"RunSQL {number}", why)
        return
    model = getattr(operation, "model_name_lower", None) or getattr(operation, "name_lower", "")
    if isinstance(operation, migrations.CreateModel) or model in created:
        return
    name = f"{type(operation).__name__} {getattr(operation, 'model_name', '') or getattr(operation, 'name', '')}"
    if isinstance(operation, migrations.AddIndex) and not isinstance(operation, AddIndexConcurrently):
        yield Problem(f"AddIndex {operation.index.name}", "locks writes meanwhile; AddIndexConcurrently does not")
    elif isinstance(operation, migrations.AddConstraint) and not isinstance(operation, AddConstraintNotValid):
        yield Problem(f"AddConstraint {operation.constraint.name}", _of_constraint(operation.constraint))
    elif isinstance(operation, migrations.AddField):
        for why in _of_new_field(operation.field):
            yield Problem(f"{name}.{operation.name}", why)
    elif isinstance(operation, migrations.AlterField):
        old = state.models[app, model].fields[operation.name]
        for why in _of_changed_field(old, operation.field):
            yield Problem(f"{name}.{operation.name}", why)
    elif isinstance(operation, (migrations.RemoveField, migrations.RenameField)):
        field = operation.name if isinstance(operation, migrations.RemoveField) else operation.old_name
        yield Problem(f"{name}.{field}", "breaks the release that still runs: it reads the column")
    elif isinstance(
        operation, (migrations.DeleteModel, migrations.RenameModel, migrations.AlterModelTable)
    ) and not _is_without_table(state, app, model):
        yield Problem(name.strip(), "breaks the release that still runs: it reads the table")


def _is_without_table(state: ProjectState, app: str, model: str) -> bool:
    known = state.models.get((app, model))
    return known is not None and bool(known.options.get("proxy") or known.options.get("managed") is False)


def _of_constraint(constraint: BaseConstraint) -> str:
    if type(constraint).__name__ == "CheckConstraint":
        return "reads the whole table under a lock; AddConstraintNotValid and ValidateConstraint do not"
    return "builds an index under a lock; build it concurrently first, and add the constraint USING INDEX"


def _of_new_field(field: "Field[Any, Any]") -> Iterator[str]:
    has_default = field.has_default() or field.db_default is not NOT_PROVIDED
    if not field.null and not has_default and not field.many_to_many:
        yield "is NOT NULL without a default: the release that still runs cannot insert"
    if field.unique or field.db_index:
        yield "builds an index under a lock"


def _of_changed_field(old: "Field[Any, Any]", new: "Field[Any, Any]") -> Iterator[str]:
    if _rewrites(old, new):
        yield f"changes the column's type from {_type_of(old)} to {_type_of(new)}, which rewrites the table"
    if old.null and not new.null:
        yield "makes the column NOT NULL, which reads the whole table under a lock"
    if (new.unique and not old.unique) or (new.db_index and not old.db_index):
        yield "builds an index under a lock"


def _type_of(field: "Field[Any, Any]") -> str:
    return type(field).__name__ if field.is_relation else str(field.db_type(connection))


def _rewrites(old: "Field[Any, Any]", new: "Field[Any, Any]") -> bool:
    before, after = _type_of(old), _type_of(new)
    texts = _TEXT.fullmatch(before), _TEXT.fullmatch(after)
    if all(texts):
        # PostgreSQL only looks at the rows where a text gets shorter.
        room = [int(text[2]) if text and text[2] else 10**9 for text in texts]
        return room[1] < room[0]
    return before != after


def _tables_in(operations: Iterable[Operation]) -> Iterator[str]:
    for operation in operations:
        for inner in _flattened(operation):
            if isinstance(inner, migrations.RunSQL):
                yield from re.findall(
                    r"create (?:unlogged )?table (?:if not exists )?(\w+)", _text_of(inner.sql).lower()
                )


def _text_of(sql: Any) -> str:
    parts = [sql] if isinstance(sql, str) else [part if isinstance(part, str) else part[0] for part in sql]
    return re.sub(r"--[^\n]*", "", ";\n".join(parts))


def _problems_of_sql(text: str, created: set[str]) -> Iterator[str]:
    # The bodies of functions run later, on their own tables.
    text = re.sub(r"\$(\w*)\$.*?\$\1\$", "''", text, flags=re.DOTALL)
    for statement in text.split(";"):
        flat = " ".join(statement.lower().split())
        for pattern, why, unless in _STATEMENTS:
            match = re.match(pattern, flat)
            if match and match["table"] not in created and not (unless and unless in flat):
                yield f"{why}: {flat[:80]}"
