"""The pages of change requests, policies and freezes, and what waits for whom."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from approvals import services
from approvals.models import ChangeRequest, Freeze, Policy
from approvals.selectors import get_request
from flags import services as flags
from flags.selectors import get_config
from flags.tests.console_documents import shares
from tenancy.admin.testing import signed_in
from tenancy.callers.principals import principal_of_user
from tenancy.console_kit.pages import object_url
from tenancy.models import Environment, User
from tenancy.roles import Role
from tenancy.testing import ALICE

pytestmark = pytest.mark.django_db


@pytest.fixture
def staging(acme):
    flags.create_flag(
        actor=ALICE, environment=acme.staging, payload={"key": "one", "enabled": True, "rollout": shares(treatment=25)}
    )
    payload = {"requiredApprovals": 1, "approvers": {"roles": ["admin"]}, "emergency": {"roles": ["editor"]}}
    services.set_policy(actor=ALICE, environment=acme.staging, payload=payload, version=1)
    acme.staging.refresh_from_db()
    return acme.staging


def user(name):
    return User.objects.get(username=name)


def propose(place, name="eddie", patch=None, **payload):
    change = {"resource": {"type": "flag", "key": "one"}, "patch": patch or {"rollout": shares(treatment=50)}}
    return services.create_request(
        principal=principal_of_user(user(name)),
        environment=place,
        payload={"title": "Half of them", "changes": [change], **payload},
    )


def fresh(request):
    return get_request(Environment.objects.all(), request.pk)


def listed(client, place, **query):
    address = f"{reverse('admin:approvals_changerequest_changelist')}?environment={place.pk}"
    answer = client.get(address + "".join(f"&{name}={value}" for name, value in query.items()))
    assert answer.status_code == 200
    return [row.title for row in answer.context["cl"].result_list]


def test_list__filters__find_what_is_mine_and_what_touches_a_flag(console_editor, console_owner, staging):
    propose(staging)
    flags.kill_flag(actor=ALICE, environment=staging, key="one")

    assert listed(console_owner, staging, mine="review") == ["Half of them"]
    assert listed(console_editor, staging, mine="review") == []
    assert listed(console_editor, staging, mine="author", author="eddie") == ["Half of them"]
    assert listed(console_owner, staging, mine="author") == []
    assert listed(console_owner, staging, touching="flag:one", state__exact="open") == ["Half of them"]
    assert listed(console_owner, staging, touching="flag:two") == []
    services.review_request(
        principal=principal_of_user(user("olga")), request=ChangeRequest.objects.get(), verdict="approve"
    )
    assert listed(console_owner, staging, mine="review") == []
    assert listed(console_owner, staging, mine="reviewed") == ["Half of them"]


def test_home__needs_attention__names_what_waits_for_this_person(
    console_editor, console_owner, console_viewer, staging
):
    def waiting(client):
        tasks = client.get(reverse("admin:index"), {"environment": staging.pk}).context["tasks"]
        return [task.why for task in tasks if task.text == "Half of them"]

    request = propose(staging)
    assert waiting(console_owner) == ["proposed by eddie: review it"]
    assert waiting(console_editor) == waiting(console_viewer) == []

    olga = principal_of_user(user("olga"))
    services.review_request(principal=olga, request=request, verdict="object", text="Too soon")
    assert "olga objects" in waiting(console_editor)[0]
    services.review_request(principal=olga, request=request, verdict="approve")
    assert waiting(console_editor) == ["nothing is missing: publish it"]
    assert waiting(console_owner) == []

    services.emergency_publish(principal=principal_of_user(user("eddie")), request=request, reason="It burns")
    assert waiting(console_viewer) == ["published in an emergency: It burns"]
    services.review_request(principal=olga, request=fresh(request), verdict="approve")
    assert waiting(console_viewer) == []


def test_request__page__says_what_is_missing_and_takes_reviews(console_editor, console_owner, staging):
    request = propose(staging)
    page = console_editor.get(object_url(request)).text
    assert "staging asks for 1 more approval of exactly this content" in page
    assert "Default rollout: 50 % treatment, was 25 % treatment." in page
    assert "25.00 % from control to treatment" in page
    assert 'value="approve"' not in page
    assert ">Emergency…</a>" in page
    assert f"change_request={request.pk}" in page

    review = {"content": request.content, "text": "", "verdict": "object"}
    refused = console_owner.post(object_url(request, "review"), review)
    assert refused.status_code == 422
    assert "Say in a sentence what you mean." in refused.text
    other = console_owner.post(object_url(request, "review"), {**review, "verdict": "approve", "content": "other"})
    assert other.status_code == 409
    assert console_owner.post(object_url(request, "review"), {**review, "verdict": "approve"}).status_code == 302
    assert "Nothing is missing: it may be published." in console_editor.get(object_url(request)).text
    assert "Emergency" not in console_editor.get(object_url(request)).text
    done = console_editor.post(object_url(request, "publish"), {"reason": ""})
    assert done.status_code == 302
    assert get_config(staging, "one").allocation == [[0, 5_000, "treatment"]]


def test_edit__changes_that_are_none__are_said_beside_the_field(console_editor, staging):
    request = propose(staging)
    sent = {"title": "Half of them", "version": "1", "at": "", "description": ""}
    for changes in ("[5]", '{"a": 1}', "[" * 5_000, '[{"resource": {"type": "flag"}}]'):
        answer = console_editor.post(object_url(request, "edit"), {**sent, "changes": changes})
        assert answer.status_code == 422, changes[:20]
        assert answer.context["form"].errors["changes"]
    assert fresh(request).version == 1


@pytest.mark.parametrize(("values", "share"), [("mine", 50), ("theirs", None)])
def test_rebase__both_changed_the_same__a_person_decides_side_by_side(
    console_editor, console_owner, staging, values, share
):
    request = propose(staging, patch={"rollout": shares(treatment=50), "enabled": False})
    other = propose(staging, "olga", {"rollout": shares(treatment=30)}, title="Theirs")
    services.emergency_publish(principal=principal_of_user(user("olga")), request=other, reason="Now")
    page = console_editor.get(object_url(request)).text
    assert "Somebody has changed the same since" in page
    assert console_editor.post(object_url(request, "rebase"), {"reason": ""}).status_code == 422

    assert console_editor.post(object_url(request, "rebase"), {"reason": "", "values": values}).status_code == 302

    patch = fresh(request).changes[0]["patch"]
    assert patch == {"enabled": False} | ({"rollout": shares(treatment=share)} if share else {})
    assert "Somebody has changed the same since" not in console_editor.get(object_url(request)).text


def test_request__base_moved_under_other_fields__is_said(console_editor, staging):
    request = propose(staging)
    other = propose(staging, patch={"enabled": False}, title="Off")
    services.emergency_publish(principal=principal_of_user(user("eddie")), request=other, reason="Now")

    assert "Other fields of what it changes are different" in console_editor.get(object_url(request)).text
    assert console_editor.post(object_url(request, "rebase"), {"reason": ""}).status_code == 302
    assert "Other fields" not in console_editor.get(object_url(request)).text


def test_policy__form__is_reached_from_the_environment_and_says_what_it_asks(console_owner, console_editor, acme):
    address = f"{reverse('admin:approvals_changerequest_policy')}?environment={acme.production.pk}"
    assert address in console_owner.get(object_url(acme.production)).text
    assert console_editor.get(address).status_code == 403
    sent = {
        "environment": acme.production.pk, "required_approvals": "2", "approver_roles": ["editor"],
        "approver_groups": "risk, audit", "impact_percent": "10", "tags": "pay", "emergency_roles": ["owner"],
        "version": "1",
    }  # fmt: skip

    assert console_owner.post(address, {**sent, "approver_roles": [], "approver_groups": ""}).status_code == 422
    assert console_owner.post(address, sent).status_code == 302

    policy = Policy.objects.get(environment=acme.production)
    assert (policy.required_approvals, policy.approver_groups, policy.impact_percent) == (2, ["risk", "audit"], 10)
    page = console_editor.get(reverse("admin:approvals_changerequest_changelist"), {"environment": acme.production.pk})
    said = (
        "Production asks for 2 approvals by editors or the group risk or the group audit before a change is served, "
        "where it moves 10 % of the users or more or touches what is tagged pay."
    )
    assert said in page.text
    # Somebody else has set it since it was read.
    assert console_owner.post(address, sent).status_code == 422


def test_freeze__again_and_again__is_made_changed_and_deleted(console_owner, console_editor, acme):
    add = reverse("admin:approvals_freeze_add")
    assert console_editor.get(add).status_code == 403
    sent = {
        "name": "Weekends", "reason": "Nobody is here", "place": f"environment:{acme.staging.pk}", "since": "",
        "until": "", "cron": "0 18 * * 5", "duration_minutes": "3720", "zone": "Europe/Berlin",
        "exempt_roles": ["owner"], "exempt_groups": "",
    }  # fmt: skip

    assert console_owner.post(add, {**sent, "zone": "Nowhere"}).status_code == 422
    assert console_owner.post(add, sent).status_code == 302

    freeze = Freeze.objects.get()
    assert (freeze.environment, freeze.duration, freeze.exempt_roles) == (
        acme.staging,
        timedelta(minutes=3720),
        ["owner"],
    )
    assert "Weekends" in console_editor.get(reverse("admin:approvals_freeze_changelist")).text
    changed = {**sent, "name": "Fridays", "since": "", "version": str(freeze.version)}
    assert console_owner.post(object_url(freeze), changed).status_code == 302
    freeze.refresh_from_db()
    assert freeze.name == "Fridays"
    assert console_editor.post(object_url(freeze), changed).status_code == 403
    assert console_owner.post(object_url(freeze, "delete"), {"reason": ""}).status_code == 302
    assert not Freeze.objects.exists()


def test_pages__of_another_tenant__are_not_there(console_outsider, acme, staging, console_editor, person):
    request = propose(staging)
    freeze = services.create_freeze(
        actor=ALICE, place=staging, payload={"name": "F", "since": timezone.now() + timedelta(days=9)}
    )
    elsewhere = signed_in(
        person(Role.OWNER, acme.organization, "petra", project=acme.project, environment=acme.production)
    )

    for client in (console_outsider, elsewhere):
        assert client.get(object_url(request)).status_code == 404
        assert client.get(object_url(freeze)).status_code == 404
        assert client.post(object_url(request, "review"), {"verdict": "approve", "text": ""}).status_code == 404
