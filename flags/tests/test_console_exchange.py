"""Export and import in the console: what a file changes is shown first, then done."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from flags import services
from flags.models import Flag, FlagConfig
from flagship.serving.front_door import most_bytes
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


def confirmation(place, asked):
    """What the page sends that says what would be changed."""
    return {
        "environment": place.pk, "format": "flagship",
        "kept": asked.context["kept"], "version": asked.context["version"],
    }  # fmt: skip


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
    confirmed = confirmation(acme.production, asked)
    assert "text" not in confirmed
    assert console_owner.post(url(acme.production, "import"), confirmed).status_code == 302
    assert set(Flag.objects.values_list("key", flat=True)) == {"pay", "new"}
    assert FlagConfig.objects.get(pk=config.pk).is_enabled


def test_import__something_was_changed_meanwhile__is_shown_again_before_it_is_done(console_owner, acme, config):
    document = json.loads(console_owner.get(url(acme.production, "export")).content)
    document["flags"][0]["enabled"] = True
    asked = console_owner.post(url(acme.production, "import"), sent(acme.production, json.dumps(document)))
    services.update_flag(
        actor=ALICE, environment=acme.production, key="pay", payload={"description": "Theirs"}, version=1
    )

    answer = console_owner.post(url(acme.production, "import"), confirmation(acme.production, asked))

    assert answer.status_code == 409
    assert "was changed since this page was opened" in answer.text
    assert not FlagConfig.objects.get(pk=config.pk).is_enabled
    again = console_owner.post(url(acme.production, "import"), confirmation(acme.production, answer))
    assert again.status_code == 302
    assert FlagConfig.objects.get(pk=config.pk).is_enabled


def test_import__of_a_rule__says_that_its_reach_is_unknown_and_who_needs_the_flag(console_owner, acme, config):
    needs = {"key": "till", "prerequisites": [{"flagKey": "pay", "variants": ["control"]}]}
    services.create_flag(actor=ALICE, environment=acme.production, payload=needs)
    document = json.loads(console_owner.get(url(acme.production, "export")).content)
    (pay,) = [flag for flag in document["flags"] if flag["key"] == "pay"]
    asks = {"attribute": "plan", "operator": "equals", "value": "pro"}
    pay |= {"enabled": True, "rules": [{"priority": 10, "name": "Pro", "variant": "treatment", "conditions": [asks]}]}

    asked = console_owner.post(url(acme.production, "import"), sent(acme.production, json.dumps(document)))

    assert "We cannot tell how many users this reaches: the rule “Pro” is new." in asked.text
    assert "Flags that need what changes may answer differently too: till." in asked.text


def test_import__another_file_was_chosen_since__is_refused(console_owner, acme, config):
    exported = console_owner.get(url(acme.production, "export")).content
    first = console_owner.post(url(acme.production, "import"), sent(acme.production, exported))
    console_owner.post(url(acme.production, "import"), sent(acme.production, exported + b" "))

    answer = console_owner.post(url(acme.production, "import"), confirmation(acme.production, first))

    assert answer.status_code == 422
    assert "Choose it again" in answer.text


def test_import__of_a_large_file__takes_what_the_api_takes(console_owner, acme, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 4_096
    document = json.loads(console_owner.get(url(acme.production, "export")).content)
    document["layers"] = [{"key": f"layer-{number}", "name": "A layer", "holdoutPercent": 0} for number in range(100)]
    asked = console_owner.post(url(acme.production, "import"), sent(acme.production, json.dumps(document)))

    assert console_owner.post(url(acme.production, "import"), confirmation(acme.production, asked)).status_code == 302
    assert acme.production.layers.count() == 100
    assert most_bytes(reverse("admin:flags_flagconfig_import")) > settings.MAX_IMPORT_BODY_BYTES
    settings.MAX_IMPORT_BODY_BYTES = 1_000
    refused = console_owner.post(url(acme.production, "import"), sent(acme.production, json.dumps(document)))
    assert "At most" in str(refused.context["form"].errors["file"])


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
