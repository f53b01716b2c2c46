"""The table of a flag's fields: models, documents, resources, export, serializer and schema have what it says."""

from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist
from openflagship.engine import decode_flag, encode_flag, snapshot_schema

from flags import services
from flags.api.serializers import FORMS, FlagSerializer
from flags.documents import flag_document, flag_export, flag_presentation, flag_resource
from flags.fields import (
    DOCUMENT_FIELDS,
    EDITABLE_FIELDS,
    EXPORTED_FIELDS,
    FLAG_FIELDS,
    PRESENTATION_FIELDS,
    READ_ONLY_FIELDS,
    RESOURCE_FIELDS,
    RESTORED_FIELDS,
    SHARED_FIELDS,
    Editable,
    defaults_of,
)
from flags.models import Flag, FlagConfig
from flags.services import drafts
from tenancy.testing import ALICE

# A value of each editable field that is not its default.
OTHER: dict[str, Any] = {
    "name": "Another name",
    "description": "What it is for.",
    "tags": ["money"],
    "owner": "editor-of-acme",
    "team": "checkout",
    "kind": "kill_switch",
    "permanent": False,
    "expectedEnd": "2026-12-24",
    "links": [{"title": "The plan", "url": "https://example.com/plan"}],
    "metadata": {"team": "growth"},
    "variants": [{"key": "control", "value": False}, {"key": "other", "value": True}],
    "enabled": True,
    "defaultVariant": "other",
    "offVariant": "other",
    "bucketBy": "companyId",
    "prerequisites": [{"flagKey": "base", "variants": ["treatment"]}],
    "targets": [{"variant": "other", "userIds": ["user-1"]}],
    "rules": [{"priority": 1, "name": "", "conditions": [], "variant": "other"}],
    "rollout": [{"variant": "other", "percent": 20}],
    "exposures": "experiments",
}
# In a document only where not all exposures are logged: the environment's choice or the flag's own.
SOMETIMES = {"exposures"}
# Columns of the models that are no field of a flag: where it belongs, and what acts on it have noted.
NOT_FIELDS = {
    "id", "project", "flag", "environment", "is_archived", "archived_at", "killed_at", "kill_reason", "created_at",
    "updated_at",
}  # fmt: skip


def names(fields):
    return {field.name for field in fields}


@pytest.mark.parametrize("field", [field for field in FLAG_FIELDS if field.column], ids=lambda field: field.name)
def test_table__column__is_one_of_the_model(field):
    model = Flag if field.is_shared else FlagConfig
    try:
        model._meta.get_field(field.column)
    except FieldDoesNotExist as error:
        raise AssertionError(f"{field.name} names no column of {model.__name__}") from error


def test_table__every_column__has_a_field():
    columns = {(field.column, field.is_shared) for field in FLAG_FIELDS if field.column}
    found = {(column.name, model is Flag) for model in (Flag, FlagConfig) for column in model._meta.fields}

    assert {(name, is_shared) for name, is_shared in found if name not in NOT_FIELDS} == columns


def test_table__document_resource_export_and_about__have_its_fields(make_flag):
    config = make_flag("checkout")

    assert flag_document(config).keys() == names(DOCUMENT_FIELDS)
    assert list(flag_resource(config)) == [field.name for field in RESOURCE_FIELDS]
    assert flag_export(config).keys() == names(EXPORTED_FIELDS) | {"status"}
    assert flag_presentation(config.flag).keys() == names(PRESENTATION_FIELDS)


def test_table__serializer__has_its_fields_in_their_forms():
    fields = FlagSerializer().get_fields()

    assert list(fields) == [field.name for field in RESOURCE_FIELDS]
    assert {name for name, field in fields.items() if field.read_only} == names(READ_ONLY_FIELDS) - {"version"}
    assert set(FORMS) == {field.form for field in RESOURCE_FIELDS}


def test_table__engine_and_its_schema__know_the_document(make_flag):
    document = flag_document(make_flag("checkout"))
    sometimes = flag_document(make_flag("other", exposures="experiments"))

    assert encode_flag(decode_flag(document)).keys() == names(DOCUMENT_FIELDS)
    assert encode_flag(decode_flag(sometimes)).keys() == sometimes.keys() == names(DOCUMENT_FIELDS) | SOMETIMES
    assert snapshot_schema()["$defs"]["flag"]["properties"].keys() == names(DOCUMENT_FIELDS) | SOMETIMES


def test_table__every_editable_field__is_stored_shown_restored_and_reset(environment, make_flag, editor):
    make_flag("base")
    config = make_flag("checkout", enabled=False)
    before, first = flag_resource(config), config.version
    assert set(OTHER) == names(EDITABLE_FIELDS)

    changed = editor.patch("flags/checkout", {**OTHER, "version": first}).json()
    for name, value in OTHER.items():
        shown = changed[name]
        if name == "rules":
            shown = [{key: part for key, part in rule.items() if key != "id"} for rule in shown]
        assert shown == value, name

    restored = flag_resource(
        services.rollback_flag(actor=ALICE, environment=environment, key="checkout", version=first)
    )
    # What changes nobody's variant stays as it is.
    presented = names(PRESENTATION_FIELDS) | SOMETIMES
    for name in OTHER:
        assert restored[name] == (changed[name] if name in presented else before[name]), name

    editor.patch("flags/checkout", {**OTHER, "version": restored["version"]})
    there = editor.get("flags/checkout").json()
    reset = editor.put("flags/checkout", {"version": there["version"]}).json()
    config.flag.refresh_from_db()
    for name, value in defaults_of(config.flag, EDITABLE_FIELDS).items():
        assert reset[name] == value, name


def test_restore__document_older_than_a_field__gives_its_default(make_flag):
    config = make_flag("checkout", bucketBy="companyId")
    document = flag_document(config)
    del document["bucketBy"]
    drafts.restore(drafts.Draft(config.flag, config, []), document)

    assert config.bucket_by == "userId"


def test_table__each_restored_field__is_one_that_evaluators_get():
    assert names(RESTORED_FIELDS) <= names(DOCUMENT_FIELDS)
    about = {"name", "description", "tags", "owner", "team", "kind", "permanent", "expectedEnd", "links"}
    assert names(SHARED_FIELDS) == {*about, "metadata", "variants"}
    assert names(field for field in FLAG_FIELDS if field.editable is Editable.ONCE) == {"key", "type"}
