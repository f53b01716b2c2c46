"""A flag's page under people and content that mean it no good: markup in every text, long names, expired sessions."""

import re

import pytest
from django.urls import reverse

from flags import services
from flags.models import FlagConfig
from tenancy.testing import ALICE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
XSS = '"><img src=x onerror="window.hurt=1"><script>window.hurt=1</script>{{7*7}}'
# Right to left, an override of the direction, joined emoji.
STRANGE = "שלום \u202eabc\u202c 👩‍👩‍👧‍👦 ﷽"
# Names what sticks out, where anything does.
WIDER_THAN_THE_PAGE = """
() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("main *")].filter((found) => found.getBoundingClientRect().right > innerWidth + 1)
    .map((found) => `${found.tagName}.${found.getAttribute("class")}`).slice(0, 9)
"""


@pytest.fixture
def config(acme):
    segment = {"key": "beta", "name": XSS, "included": [XSS], "conditions": condition(XSS)}
    services.create_segment(actor=ALICE, environment=acme.staging, payload=segment)
    rules = [
        {"priority": 10, "name": XSS, "variant": "b", "conditions": [condition(XSS)]},
        {
            "priority": 20,
            "name": STRANGE,
            "variant": "b",
            "conditions": [{"operator": "in_segment", "value": ["beta"]}],
        },
    ]
    payload = {
        "key": "strange",
        "type": "string",
        "name": XSS,
        "description": XSS,
        "tags": [XSS[:50], STRANGE],
        "enabled": True,
        "variants": [{"key": "a", "value": XSS}, {"key": "b", "value": STRANGE}],
        "rollout": [{"variant": "b", "percent": 25}],
        "rules": rules,
    }
    made = services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)[0]
    services.kill_flag(actor=ALICE, environment=acme.staging, key="strange", reason=XSS)
    services.release_flag(actor=ALICE, environment=acme.staging, key="strange", reason=STRANGE)
    services.kill_flag(actor=ALICE, environment=acme.staging, key="strange", reason=XSS)
    return made


def condition(value):
    return {"attribute": "plan", "operator": "in", "value": [value]}


def of(config, page):
    return reverse(f"admin:flags_flagconfig_{page}", args=[config.pk])


def test_markup_in_every_text__is_shown_as_text(open_session, console_owner, acme, config):
    session = open_session(console_owner)
    listed = f"{reverse('admin:flags_flagconfig_changelist')}?environment={acme.staging.pk}"
    segment = reverse("admin:flags_segment_change", args=[acme.staging.segments.get().pk])
    places = [
        *(of(config, page) for page in ("change", "history", "kill_status", "release", "compare", "archive")),
        f"{of(config, 'try')}?user={XSS}&attributes=plan={XSS}",
        listed,
        f"{reverse('admin:flags_flagconfig_kill_tag')}?environment={acme.staging.pk}&tag={XSS[:50]}",
        segment,
        reverse("admin:audit_entry_changelist"),
        reverse("admin:index"),
    ]

    for place in places:
        page = session.visit(place)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.hurt") is None, place
        assert page.locator("img[src=x]").count() == 0, place
    page.keyboard.press("Control+k")
    page.keyboard.type("strange")
    page.get_by_text("strange", exact=True).first.wait_for()
    assert page.locator("img[src=x]").count() == 0


def test_names_of_a_thousand_characters__are_refused_beside_their_field_and_break_no_page(
    open_session, console_owner, acme
):
    made, _ = services.create_flag(actor=ALICE, environment=acme.staging, payload={"key": "k" * 100, "name": "W" * 200})
    session = open_session(console_owner, viewport={"width": 390, "height": 844})
    for address in (of(made, "change"), of(made, "kill"), of(made, "history"), reverse("admin:index")):
        page = session.visit(address)
        page.wait_for_load_state("networkidle")
        wide = page.evaluate(WIDER_THAN_THE_PAGE)
        assert wide == [], address

    page = session.visit(of(made, "change"))
    page.locator("strong", has_text="Name, description, tags").click()
    page.evaluate("document.getElementById('id_name').removeAttribute('maxlength')")
    page.get_by_label("Name", exact=True).fill("n" * 1000)
    page.get_by_role("button", name="Save", exact=True).click()
    said = page.locator(".fs-field", has=page.locator("#id_name")).locator(".fs-error")
    said.wait_for()
    page.get_by_role("alert").get_by_role("link", name=said.text_content(), exact=True).wait_for()
    assert page.get_by_label("Name", exact=True).input_value() == "n" * 1000


def test_back_after_saving__shows_what_is_there_now_or_merges(open_session, console_owner, acme, config):
    page = open_session(console_owner).visit(of(config, "change"))
    page.locator("#rollout [data-percent]").last.fill("40")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved.").wait_for()

    page.go_back()
    page.locator("#flag-form").wait_for()
    page.locator("#rollout [data-percent]").last.fill("50")
    page.get_by_role("button", name=re.compile("^Save( mine over theirs)?$")).click()
    page.get_by_text("Saved.").or_(page.locator("#conflict")).first.wait_for()
    if page.locator("#conflict").count():
        page.get_by_role("button", name="Save mine over theirs").click()
        page.get_by_text("Saved.").wait_for()

    assert FlagConfig.objects.get(pk=config.pk).allocation == [[0, 5000, "b"]]


def test_session_ended_meanwhile__what_is_beside_the_form_says_so(open_session, console_owner, config):
    page = open_session(console_owner).visit(of(config, "change"))
    page.get_by_text("What saving changes").wait_for()
    console_owner.logout()

    page.locator("#rollout [data-percent]").last.fill("90")
    page.get_by_text("You are signed out").wait_for()


def test_without_scripts__a_flag_is_shown_and_says_what_editing_needs(open_session, console_owner, acme):
    rollout = [{"variant": "treatment", "percent": 10}]
    payload = {"key": "plain", "enabled": True, "rollout": rollout}
    made, _ = services.create_flag(actor=ALICE, environment=acme.staging, payload=payload)
    page = open_session(console_owner, java_script_enabled=False).visit(of(made, "change"))
    page.get_by_text("Editing needs JavaScript: this page cannot save without it.").wait_for()
    assert page.locator("#rollout [data-percent]").last.input_value() == "10"
    page.locator("#rollout [data-percent]").last.fill("15.5")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("switch it on and try again").wait_for()

    made.refresh_from_db()
    assert made.allocation == [[0, 1000, "treatment"]]
