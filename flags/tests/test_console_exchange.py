"""Export and import in the console: what a file changes is shown first, then done."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from flags import services
from flags.models import Flag, FlagConfig
from tenancy.testing import ALICE

# Python's own reader takes it, and no store does.
NAN = (
    '{"format": "flagship", "formatVersion": 1, "segments": [{"key": "a", "name": "A", '
    '"conditions": {"attribute": "age", "operator": "greater_than", "value": NaN}}]}'
)


@pytest.fixture
def config(acme):
    return services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "pay"})[0]


def url(place, name):
    return f"{reverse(f'admin:flags_flagconfig_{name}')}?environment={place.pk}"


def sent(place, text, **fields):
    file = SimpleUploadedFile("flags.json", text if isinstance(text, bytes) else text.encode())
    return {"environment": place.pk, "format": "flagship", "file": file, **fields}


def test_import__what_was_exported_and_edited__is_shown_then_done(console_owner, acme, config):
    exported = console_owner.get(url(acme.production, "export"))
    assert exported["Content-Disposition"] == 'attachment; filename="web-production.json"'
    document = json.loads(exported.content)
    document["flags"][0]["enabled"] = True
    document["flags"].append({**document["flags"][0], "key": "new"})
    document["flags"].append({"key": "No key"})

    asked = console_owner.post(url(acme.production, "import"), sent(acme.production, json.dumps(document)))

    assert asked.status_code == 200
    said = " ".join(asked.text.split())
    assert "1 created, 1 changed, 0 as they are, 0 left alone, 1 left out" in said
    assert "flag No key" in said
    assert not FlagConfig.objects.filter(is_enabled=True).exists()
    confirmed = {
        "environment": acme.production.pk,
        "format": "flagship",
        "text": asked.context["text"],
        "confirmed": "",
    }
    assert console_owner.post(url(acme.production, "import"), confirmed).status_code == 302
    assert set(Flag.objects.values_list("key", flat=True)) == {"pay", "new"}
    assert FlagConfig.objects.get(pk=config.pk).is_enabled


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 5_000, b"\xff", '{"a": "\\ud800"}', '{"format": "other"}', '{"a": 1e400}', NAN],
    ids=["empty", "cut", "list", "deep", "bytes", "surrogate", "other", "infinite", "nan"],
)
def test_import__what_is_no_export__is_refused_at_the_file(console_owner, acme, text):
    answer = console_owner.post(url(acme.production, "import"), sent(acme.production, text))

    assert answer.status_code == 422
    assert answer.context["form"].errors["file"]


def test_import__is_for_editors_of_the_project_and_export_for_members(console_viewer, console_outsider, acme, config):
    assert console_viewer.get(url(acme.production, "import")).status_code == 403
    assert console_viewer.get(url(acme.production, "export")).status_code == 200
    assert console_outsider.get(url(acme.production, "export")).status_code == 404
    listed = console_viewer.get(url(acme.production, "changelist")).text
    assert (url(acme.production, "export") in listed, url(acme.production, "import") in listed) == (True, False)
