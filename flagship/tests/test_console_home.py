"""The home page: figures that lead somewhere, and what waits for a person."""

from django.urls import reverse

from flags import services
from tenancy.testing import ALICE


def home(client, environment):
    return client.get(reverse("admin:index"), {"environment": environment.pk})


def test_home__works(console_viewer, acme):
    services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "one", "enabled": True})
    services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "two"})

    page = home(console_viewer, acme.production)

    assert page.status_code == 200
    assert [(tile.name, tile.value) for tile in page.context["tiles"]] == [
        ("Flags on", "1"),
        ("Flags off", "1"),
        ("Flags killed", "0"),
        ("Flags archived", "0"),
    ]
    for tile in page.context["tiles"]:
        assert console_viewer.get(tile.url).status_code == 200
    assert "New flag" not in page.text


def test_home__killed_flag__needs_attention_with_its_reason(console_editor, acme):
    services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "one", "enabled": True})
    services.kill_flag(actor=ALICE, environment=acme.production, key="one", reason="Errors since noon")

    page = home(console_editor, acme.production)

    assert [(task.text, task.why) for task in page.context["tasks"]] == [("one is killed", "Errors since noon")]
    assert "New flag" in page.text


def test_home__many_flags__asks_the_database_no_more_often(console_viewer, acme, django_assert_max_num_queries):
    for index in range(20):
        services.create_flag(actor=ALICE, environment=acme.production, payload={"key": f"flag-{index}"})
        services.kill_flag(actor=ALICE, environment=acme.production, key=f"flag-{index}")
    home(console_viewer, acme.production)

    with django_assert_max_num_queries(17):
        home(console_viewer, acme.production)


def test_home__other_tenant__is_not_shown(console_outsider, acme):
    services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "secret-plan"})

    page = home(console_outsider, acme.production)

    assert page.context["current_environment"].project.organization.slug == "rival"
    assert "secret-plan" not in page.text
