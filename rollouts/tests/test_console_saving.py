"""What a page was opened with is what its form changes: nothing that was saved meanwhile is written over."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from flags.models import FlagConfig
from flags.selectors import get_config
from flags.services import update_flag
from rollouts import services
from rollouts.models import RolloutPlan
from rollouts.tests.conftest import KEY
from tenancy.admin.testing import signed_in
from tenancy.console_kit.pages import object_url
from tenancy.models import Environment, User
from tenancy.roles import Role
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db


@pytest.fixture
def console(environment: Environment, person: Callable[..., User]) -> Client:
    return signed_in(person(Role.EDITOR, environment.project.organization))


def _edit(environment: Environment, **payload: Any) -> None:
    update_flag(actor=ALICE, environment=environment, key=KEY, payload=payload, version=None)


def test_save_at__what_others_saved_meanwhile__is_shown_first(
    console: Client, flag: FlagConfig, environment: Environment
) -> None:
    page = console.get(object_url(flag))
    opened = page.context["edit"]
    mine = {**opened.document, "offVariant": "treatment"}
    sent = {"document": json.dumps(mine), "base": opened.base_text, "version": opened.version, "save_as": "later"}
    _edit(environment, description="theirs")

    merged = console.post(object_url(flag), sent)
    assert merged.status_code == 409
    assert (merged.context["edit"].version, merged.context["edit"].document["offVariant"]) == (2, "treatment")

    sent |= {"base": merged.context["edit"].base_text, "version": 2}
    sent["document"] = json.dumps(merged.context["edit"].document)
    later = console.post(object_url(flag), sent)
    assert later.status_code == 302
    _edit(environment, description="theirs again")
    back = console.get(later["Location"])
    assert back["Location"].startswith(object_url(flag))

    sent |= {"version": 3, "base": console.get(object_url(flag)).context["edit"].base_text}
    sent["document"] = json.dumps({**json.loads(sent["base"]), "offVariant": "treatment"})
    form = console.get(console.post(object_url(flag), sent)["Location"]).context["form"]
    assert (json.loads(form["patch"].value()), form["base_version"].value()) == ({"offVariant": "treatment"}, 3)


def test_plan__edited_by_two__the_later_hears_of_it(
    console: Client, flag: FlagConfig, environment: Environment
) -> None:
    about: dict[str, Any] = {"actor": ALICE, "environment": environment, "key": KEY}
    content = {"variant": "treatment", "steps": [{"percent": 20}]}
    plan, _ = services.save_plan(**about, payload=content)
    address = object_url(plan, "edit")
    form = console.get(address).context["form"]
    services.save_plan(**about, payload={**content, "steps": [{"percent": 30}]}, version=1)

    sent = {name: form[name].value() or "" for name in form.fields}
    refused = console.post(address, {**sent, "steps": "40 % now"})

    assert (refused.status_code, RolloutPlan.objects.get().steps[0]["percent"]) == (422, 30)
    assert "at version 2" in refused.text
    assert get_config(environment, flag.flag.key).version == 1
    sent = {name: value.value() or "" for name, value in ((n, console.get(address).context["form"][n]) for n in sent)}
    assert console.post(address, {**sent, "steps": "40 % now"}).status_code == 302
    assert RolloutPlan.objects.get().steps[0]["percent"] == 40
