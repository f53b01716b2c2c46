"""The home page: figures that lead somewhere, and what waits for a person."""

import time

from django.urls import reverse

from analytics.services import forget_user
from audit.models import Entry
from flags import services
from flags.models import FlagConfig
from flags.propagation.acknowledgements import Report, record
from tenancy.services import create_environment, create_project
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


def test_models__of_all_apps__are_in_no_page_and_those_of_one_on_its_own(console_viewer, acme):
    assert home(console_viewer, acme.production).context["available_apps"] == []
    (app,) = console_viewer.get(reverse("admin:app_list", args=["flags"])).context["app_list"]
    assert "Flags" in {model["name"] for model in app["models"]}


def test_home__several_projects__are_a_menu_beside_the_environments_of_one(console_owner, acme):
    one = console_owner.get(reverse("admin:index"), follow=True).text
    other = create_project(actor=ALICE, organization=acme.project.organization, key="app", name="App")
    far = create_environment(actor=ALICE, project=other, key="production", name="Production", is_production=True)

    for name in ("admin:index", "admin:flags_flagconfig_changelist", "console_health"):
        page = console_owner.get(reverse(name), {"environment": acme.production.pk}).text
        menu, tabs = page[page.index('class="fs-menu"') :].split("</nav>")[0].split("</details>")
        assert [project in menu for project in ("App", acme.project.name)] == [True, True]
        assert [f"?environment={row.pk}" in tabs for row in (acme.production, acme.staging, far)] == [True, True, False]
    assert 'class="fs-menu"' not in one


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

    with django_assert_max_num_queries(25):
        home(console_viewer, acme.production)


def test_home__other_tenant__is_not_shown(console_outsider, acme):
    services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "secret-plan"})

    page = home(console_outsider, acme.production)

    assert page.status_code == 404
    assert "secret-plan" not in page.text


def health(page):
    return {tile.name: tile for tile in page.context["health"]}


def test_home__nothing_connected__says_so(console_viewer, acme):
    shown = health(home(console_viewer, acme.production))

    assert (shown["Services connected"].value, shown["Services connected"].note) == ("0", "none in the last minute")
    assert shown["A kill reaches 99 % of them"].value == "not measured yet"


def test_home__services_heard_a_kill__says_how_fast_and_who_is_behind(
    console_viewer, acme, django_capture_on_commit_callbacks
):
    services.create_flag(actor=ALICE, environment=acme.production, payload={"key": "one", "enabled": True})
    acme.production.refresh_from_db()
    now = time.time_ns() // 1_000_000
    names = ("till-1", "till-2")
    record(acme.production.pk, [Report(name, "python", acme.production.config_version, now) for name in names])
    with django_capture_on_commit_callbacks(execute=True):
        services.kill_flag(actor=ALICE, environment=acme.production, key="one", reason="Errors")
    acme.production.refresh_from_db()
    killed_at = int(acme.production.changes.latest("version").created_at.timestamp() * 1000)
    record(acme.production.pk, [Report("till-1", "python", acme.production.config_version, killed_at + 120)])

    shown = health(home(console_viewer, acme.production))

    version = acme.production.config_version
    assert shown["Services connected"].value == "2"
    assert shown["Services connected"].note == f"1 not on version {version} yet"
    assert shown["A kill reaches 99 % of them"].value == "within 120 ms"
    config = FlagConfig.objects.get(flag__key="one", environment=acme.production)
    board = reverse("admin:flags_flagconfig_kill_status", args=[config.pk])
    assert shown["A kill reaches 99 % of them"].more_url == board
    assert f'href="{board}"' in console_viewer.get(reverse("console_health"), follow=True).text


def test_home__forgotten_user__is_told_by_the_beginning_of_the_hash(console_owner, acme):
    forget_user(actor=ALICE, organization=acme.project.organization, user_id="ada")
    trace = Entry.objects.get(action="user.forgotten").entity_key

    page = home(console_owner, acme.production).text

    assert f">{trace[:8]}…</a>" in page
    assert trace not in page
