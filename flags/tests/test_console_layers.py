"""A layer's name and holdout in the console: what a change does is said first, and what cannot be is refused."""

from uuid import uuid4

import pytest
from django.urls import reverse

from audit.models import Entry
from flags import services
from flags.models import Layer
from flags.services.layers import reserve_range
from tenancy.testing import ALICE


@pytest.fixture
def layer(acme) -> Layer:
    content = {"key": "checkout", "name": "Checkout", "holdoutPercent": 5}
    return services.create_layer(actor=ALICE, environment=acme.staging, payload=content)[0]


def edit_url(layer):
    return reverse("admin:flags_layer_edit", args=[layer.pk])


def send(client, layer, **changes):
    return client.post(edit_url(layer), {"name": "Checkout", "holdout": "5", "version": layer.version, **changes})


def test_edit__name_alone__is_saved_at_once(console_editor, layer):
    assert edit_url(layer) in console_editor.get(reverse("admin:flags_layer_change", args=[layer.pk])).text

    assert send(console_editor, layer, name="Till").status_code == 302

    layer.refresh_from_db()
    assert (layer.name, layer.holdout_buckets) == ("Till", 500)


@pytest.mark.parametrize(
    ("holdout", "said"),
    [("12.5", "7.5 % of the users are held out as well"), ("0", "5 % of the users are held out no more")],
)
def test_edit__holdout__says_what_it_does_before_it_does_it(console_editor, layer, holdout, said):
    first = send(console_editor, layer, holdout=holdout)

    layer.refresh_from_db()
    assert (first.status_code, layer.holdout_buckets) == (200, 500)
    assert said in first.text

    assert send(console_editor, layer, holdout=holdout, confirmed=holdout).status_code == 302

    layer.refresh_from_db()
    assert layer.holdout_buckets == float(holdout) * 100
    entry = Entry.objects.get(action="layer.updated")
    assert (entry.before["holdoutPercent"], entry.after["holdoutPercent"]) == (5, float(holdout))


def test_edit__another_holdout_than_was_confirmed__is_asked_again(console_editor, layer):
    answer = send(console_editor, layer, holdout="20", confirmed="10")

    layer.refresh_from_db()
    assert (answer.status_code, layer.holdout_buckets) == (200, 500)
    assert "15 % of the users" in answer.text


def test_edit__holdout_into_an_experiments_share__is_refused_beside_the_field(console_editor, layer):
    reserve_range(layer, uuid4(), 6000)
    assert "at most 40 now" in console_editor.get(edit_url(layer)).text

    answer = send(console_editor, layer, holdout="50")

    layer.refresh_from_db()
    assert (answer.status_code, layer.holdout_buckets) == (422, 500)
    assert "reaches into" in answer.context["form"].errors["holdout"][0]


def test_edit__changed_meanwhile__holds_both_and_overwrites_nothing(console_editor, acme, layer):
    services.update_layer(
        actor=ALICE, environment=acme.staging, key="checkout", payload={"holdoutPercent": 10}, version=layer.version
    )

    answer = send(console_editor, layer, name="Till")

    assert answer.status_code == 409
    assert answer.context["conflict"]["who"] == ALICE.label
    form = answer.context["form"]
    assert (form["name"].value(), form["holdout"].value()) == ("Till", 10)
    again = {name: form[name].value() for name in ("name", "holdout", "version")}
    assert console_editor.post(edit_url(layer), again).status_code == 302
    layer.refresh_from_db()
    assert (layer.name, layer.holdout_buckets) == ("Till", 1000)


def test_edit__viewer_and_outsider__may_not(console_viewer, console_outsider, layer):
    assert edit_url(layer) not in console_viewer.get(reverse("admin:flags_layer_change", args=[layer.pk])).text
    assert send(console_viewer, layer, name="Mine").status_code == 403
    assert send(console_outsider, layer, name="Mine").status_code == 404
    layer.refresh_from_db()
    assert layer.name == "Checkout"
