"""A flag's fields in one table. Drafts, rollback, defaults, documents, export, import and the API follow from it.

A new field that evaluators read touches these places, nine at most:

1. `FLAG_FIELDS` here: one line.
2. `flags/models.py`: the column.
3. `flags/migrations/`: its migration.
4. `flags/api/serializers.py`, `FORMS`: only where no form that is there fits its values.
5. `openflagship/engine/model.py`: the attribute of `FlagDefinition`.
6. `openflagship/engine/decode_flag.py` and `encode.py`: how it is read and written.
7. `openflagship/engine/compile.py`: what it decides.
8. `sdk/contract/snapshot.schema.json`, which the engine carries too: its schema.
9. The console's flag editor: its input.

A field that no evaluator reads has no place in the engine and in the schema.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

from flags.models import Flag, FlagConfig


class Editable(Enum):
    """When the API may set a field: with any change, at creation alone, or never."""

    ALWAYS = "always"
    ONCE = "once"
    NEVER = "never"


Default = Callable[[Flag], Any]


@dataclass(frozen=True, slots=True)
class FlagField:
    """One field of a flag.

    `column` holds it: on the flag where it `is_shared` by all environments, else on its configuration. It is "" where
    the value is worked out from rows or other columns. `form` names the form of the values in the API. `default` is the
    value of a field that a PUT, an import or an older document leaves out. Without one, a PUT keeps the value.
    """

    name: str
    form: str = ""
    column: str = ""
    is_shared: bool = False
    editable: Editable = Editable.ALWAYS
    # Whether evaluators get it, in the snapshot and the version log.
    in_document: bool = True
    # Whether the API shows it.
    in_resource: bool = True
    # Whether a rollback, a copy and an import put the document's value back.
    is_restored: bool = True
    default: Default | None = None
    # An empty text is shown as null.
    is_null_if_empty: bool = False

    def read(self, config: FlagConfig) -> Any:
        """The column's value."""
        return self._shown(config.flag if self.is_shared else config)

    def read_shared(self, flag: Flag) -> Any:
        """The value of a field that all environments share."""
        return self._shown(flag)

    def _shown(self, row: Flag | FlagConfig) -> Any:
        value = getattr(row, self.column)
        if self.is_null_if_empty and not value:
            return None
        return value.isoformat() if isinstance(value, date) else value

    def write(self, config: FlagConfig, value: Any) -> None:
        if value is None and self.is_null_if_empty:
            value = ""
        elif value is not None and self.form == "day":
            # An import may hold anything; the column reads texts.
            value = str(value)
        setattr(config.flag if self.is_shared else config, self.column, value)

    def find(self, document: Mapping[str, Any], flag: Flag) -> Any:
        """The field in a stored document; one that is older than the field has its default. Raises KeyError."""
        if self.name not in document and self.default is not None:
            return self.default(flag)
        return document[self.name]


def _key(flag: Flag) -> Any:
    return flag.key


def _first_variant(flag: Flag) -> Any:
    return flag.variants[0]["key"]


def _shared(name: str, form: str, **options: Any) -> FlagField:
    return FlagField(name, form, name, is_shared=True, **options)


def _about(name: str, form: str, *, column: str = "", **options: Any) -> FlagField:
    """A field that belongs to the flag in its project and that no evaluator reads."""
    return FlagField(name, form, column or name, is_shared=True, in_document=False, is_restored=False, **options)


def _shown(name: str, form: str) -> FlagField:
    """A field that the API only shows."""
    return FlagField(name, form, editable=Editable.NEVER, in_document=False, is_restored=False)


def _hidden(name: str, **options: Any) -> FlagField:
    """A field that evaluators get and the API does not show."""
    return FlagField(name, column=name, editable=Editable.NEVER, in_resource=False, **options)


# In the order in which the API shows them.
FLAG_FIELDS = (
    _shared("key", "key", editable=Editable.ONCE, is_restored=False),
    _about("name", "name", default=_key),
    _about("description", "text", default=lambda _: ""),
    _shared("type", "type", editable=Editable.ONCE, is_restored=False),
    _about("tags", "tags", default=lambda _: []),
    # Whose it is, what it is for and how long it is meant to last: for people and for `flags.lifecycle`.
    _about("owner", "person", is_null_if_empty=True, default=lambda _: None),
    _about("team", "team", is_null_if_empty=True, default=lambda _: None),
    _about("kind", "kind", is_null_if_empty=True, default=lambda _: None),
    _about("permanent", "boolean_or_null", column="is_permanent", default=lambda _: None),
    _about("expectedEnd", "day", column="expected_end", default=lambda _: None),
    _about("links", "links", default=lambda _: []),
    _shared("metadata", "object", default=lambda _: {}),
    _shared("variants", "variants"),
    _shown("status", "shown"),
    FlagField("enabled", "boolean", "is_enabled", default=lambda _: False),
    FlagField("defaultVariant", "key", "default_variant", default=_first_variant),
    FlagField("offVariant", "key", "off_variant", default=_first_variant),
    FlagField(
        "killSwitchVariant",
        "shown_or_null",
        "kill_switch_variant",
        editable=Editable.NEVER,
        is_restored=False,
        is_null_if_empty=True,
    ),
    FlagField("bucketBy", "unit_names", "bucket_by", default=lambda _: "userId"),
    _hidden("salt", default=_key),
    FlagField("prerequisites", "prerequisites", "prerequisites", default=lambda _: []),
    FlagField("targets", "targets", "targets", default=lambda _: []),
    FlagField("rules", "rules", default=lambda _: []),
    _hidden("experiment", is_restored=False),
    _hidden("allocation", default=lambda _: []),
    # The allocation in percent; a PATCH of it moves the fewest buckets.
    FlagField("rollout", "rollout", in_document=False, is_restored=False, default=lambda _: []),
    # Which evaluations are logged. Documents have what holds here, the environment's choice or the flag's own.
    FlagField(
        "exposures",
        "exposures",
        "exposures",
        in_document=False,
        is_restored=False,
        default=lambda _: None,
        is_null_if_empty=True,
    ),
    FlagField("version", "version", "version", editable=Editable.NEVER, is_restored=False),
    _shown("createdAt", "moment"),
    _shown("updatedAt", "moment"),
)

# What a flag is in its project, the same in every environment, and may be changed.
SHARED_FIELDS = tuple(field for field in FLAG_FIELDS if field.is_shared and field.editable is Editable.ALWAYS)
# Kept beside each step of the version log: it belongs to the flag and to no evaluation.
PRESENTATION_FIELDS = tuple(field for field in FLAG_FIELDS if field.is_shared and not field.in_document)
# A client may send back what it read, so these are accepted and not taken.
READ_ONLY_FIELDS = tuple(field for field in FLAG_FIELDS if field.in_resource and field.editable is Editable.NEVER)
EDITABLE_FIELDS = tuple(field for field in FLAG_FIELDS if field.editable is Editable.ALWAYS)
# Those that go into their column as they are sent; `rules` and `rollout` become rows and ranges.
PLAIN_FIELDS = tuple(field for field in EDITABLE_FIELDS if field.column)
RESTORED_FIELDS = tuple(field for field in FLAG_FIELDS if field.is_restored)
DOCUMENT_FIELDS = tuple(field for field in FLAG_FIELDS if field.in_document)
RESOURCE_FIELDS = tuple(field for field in FLAG_FIELDS if field.in_resource)
# What an export carries: kills and experiments are acts, and versions belong to an environment.
EXPORTED_FIELDS = tuple(
    field
    for field in FLAG_FIELDS
    if field.is_restored or field in PRESENTATION_FIELDS or field.editable is Editable.ONCE
)


def defaults_of(flag: Flag, fields: Iterable[FlagField]) -> dict[str, Any]:
    """The defaults of those of the fields that have one."""
    return {field.name: field.default(flag) for field in fields if field.default is not None}
