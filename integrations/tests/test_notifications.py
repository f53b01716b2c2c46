"""Who is told of what, in which words and by which channel; and the inbox."""

from datetime import timedelta

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from audit.actors import system
from audit.models import Entry
from integrations import services
from integrations.models import Notification, NotificationCursor, NotificationSetting
from integrations.notifications import channels, sending
from integrations.notifications.fan_out import fan_out
from integrations.notifications.sending import MOST_LINES, next_digest, send_due
from integrations.notifications.words import Line, line_of
from integrations.tasks import prune
from integrations.testing import acts_as
from tenancy.errors import Invalid


def _told(user):
    fan_out()
    keys = dict(Entry.objects.exclude(organization_id=None).values_list("position", "entity_key"))
    return [(keys[row.position], row.why) for row in Notification.objects.filter(user=user).order_by("pk")]


def test_fan_out__what_others_do_to_ones_own__is_told_and_ones_own_acts_are_not(happen, ann, bob):
    happen("checkout")
    happen("checkout", actor=acts_as(ann))
    happen("other")
    happen("checkout", "flag.killed", system("guardrail"))

    assert _told(ann) == [("checkout", "mine"), ("checkout", "mine")]
    assert _told(bob) == []


def test_fan_out__what_is_followed__is_told_by_key_and_by_tag(happen, environment, ann):
    happen("other", "flag.created")
    fan_out()
    services.follow(user=ann, project=environment.project, kind="flag", key="other")
    services.follow(user=ann, project=environment.project, kind="tag", key="pay")
    happen("other")
    happen("third", after={"tags": ["pay"]})
    happen("fourth", after={"tags": ["cart"]})

    assert _told(ann) == [("other", "followed"), ("third", "followed")]


def test_fan_out__what_a_person_may_not_see__is_not_told(happen, environment, staging, person):
    where = {"project": environment.project, "environment": staging}
    narrow = person("viewer", environment.project.organization, "narrow", **where)
    services.follow(user=narrow, project=environment.project, kind="tag", key="pay")
    happen("one", after={"tags": ["pay"]})
    happen("two", at=staging, after={"tags": ["pay"]})

    assert _told(narrow) == [("two", "followed")]


def test_fan_out__again__tells_nothing_twice(happen, ann):
    happen("checkout")
    _told(ann)
    NotificationCursor.objects.update(position=0)

    assert _told(ann) == [("checkout", "mine")]


def _channel(user, environment, channel="email", **payload):
    return services.set_channel(
        user=user, organization=environment.project.organization, channel=channel, payload=payload
    )


def test_fan_out__many_rows__ask_no_more_than_one(happen, environment, ann, django_assert_max_num_queries):
    services.follow(user=ann, project=environment.project, kind="tag", key="pay")
    for _ in range(30):
        happen("other", after={"tags": ["pay"]})
        happen("checkout")
    with django_assert_max_num_queries(26):
        assert fan_out() == 60


def test_send_due__by_mail_at_once__has_the_words_the_link_and_what_to_do(happen, environment, ann):
    _channel(ann, environment)
    happen("checkout", "flag.killed", reason="errors rose")
    fan_out()

    assert (send_due(), send_due()) == (1, 0)
    message = mail.outbox[0]
    assert message.to == ["ann@example.com"]
    assert message.subject == "FlagShip: Flag killed: checkout in web / production, by bob"
    entry = Entry.objects.order_by("-id")[0]
    assert reverse("admin:audit_entry_change", args=[entry.pk]) in message.body
    assert "errors rose. Everybody gets one variant now. Release the kill switch" in message.body


def test_send_due__nothing_new__writes_nothing(happen, environment, ann, django_assert_num_queries):
    _channel(ann, environment)
    send_due()
    with django_assert_num_queries(5, info="the settings; one, its lock and a savepoint around; what waits"):
        assert send_due() == 0


def test_send_due__daily__is_one_message_when_its_hour_has_come(happen, environment, ann):
    setting = _channel(ann, environment, mine="daily")
    for _ in range(MOST_LINES + 2):
        happen("checkout")
    fan_out()
    assert send_due() == 0
    setting.refresh_from_db()
    assert setting.daily_due_at > timezone.now()
    NotificationSetting.objects.update(daily_due_at=timezone.now() - timedelta(seconds=1))

    assert (send_due(), send_due()) == (1, 0)
    assert mail.outbox[0].subject == f"FlagShip: {MOST_LINES + 2} events in Acme"
    assert "And 2 more: " in mail.outbox[0].body
    noon = timezone.now().replace(hour=12)
    assert next_digest(noon) - noon < timedelta(days=1)


def test_send_due__an_address_that_is_none__keeps_nobody_elses_message_back(happen, environment, ann, person):
    odd = person("viewer", environment.project.organization, "odd")
    type(odd).objects.filter(pk=odd.pk).update(email=f"odd@{'ü' * 64}.example")
    for user in (odd, ann):
        _channel(user, environment)
    services.follow(user=odd, project=environment.project, kind="flag", key="checkout")
    NotificationSetting.objects.update(followed="at_once")
    happen("checkout")
    fan_out()

    assert send_due() == 1
    assert mail.outbox[0].to == ["ann@example.com"]
    assert "none that mail can be sent to" in NotificationSetting.objects.get(user=odd).problem


def test_send_due__one_that_breaks_and_a_mail_server_that_is_away__delay_no_other(
    happen, environment, ann, bob, monkeypatch
):
    sent = []

    def send(setting, *_):
        sent.append((setting.user.username, setting.channel))
        if setting.channel == "email":
            raise channels.MailAwayError("away")
        if setting.user == ann:
            raise RuntimeError("a fault of ours")

    monkeypatch.setattr(sending, "send", send)
    services.follow(user=bob, project=environment.project, kind="flag", key="checkout")
    for user, channel in ((ann, "email"), (bob, "email"), (ann, "slack"), (bob, "slack")):
        _channel(
            user,
            environment,
            channel,
            followed="at_once",
            **({"url": "https://93.184.216.34/"} if channel == "slack" else {}),
        )
    happen("checkout", actor=system("guardrail"))
    fan_out()

    assert send_due() == 1
    assert sent == [("ann", "email"), ("ann", "slack"), ("bob", "slack")]


def test_send_due__what_waited_for_somebody_who_has_left__goes_nowhere(happen, environment, ann):
    _channel(ann, environment)
    happen("checkout")
    fan_out()
    ann.memberships.all().delete()

    assert send_due() == 0
    assert mail.outbox == []


@pytest.mark.parametrize("channel", ["slack", "teams", "discord"])
def test_send_due__to_a_chat__posts_its_form_and_tries_again(happen, environment, ann, receiver, channel):
    _channel(ann, environment, channel, url=f"{receiver.url}/T0")
    receiver.behave = lambda number, _path: "500" if number == 0 else "ok"
    happen("checkout", reason="<!channel> @everyone")
    fan_out()

    assert send_due() == 0
    setting = NotificationSetting.objects.get()
    assert "answered 500" in setting.problem
    NotificationSetting.objects.update(due_at=None)
    assert (send_due(), send_due()) == (1, 0)
    sent = receiver.received[1]
    assert "Flag changed: checkout" in sent.body.decode()
    assert "<!channel>" not in str(sent.event.get("text"))
    assert NotificationSetting.objects.get().problem == ""


def test_forms__of_chats__mention_nobody_and_fit():
    lines = [Line("t" * 900, "d", "https://flags.example/1")] * 3

    assert channels.discord("s", lines, "")["allowed_mentions"] == {"parse": []}
    assert len(channels.discord("s", lines, "")["content"]) == 2000
    assert channels.slack("<@U1> & co", [], "")["text"] == "&lt;@U1&gt; &amp; co"
    assert channels.teams("s", lines, "more")["attachments"][0]["content"]["type"] == "AdaptiveCard"


def test_set_channel__what_is_wrong__is_refused_by_field(environment, ann):
    for payload, attr in (
        ({"mine": "hourly"}, "mine"),
        ({"url": "https://93.184.216.34/"}, "url"),
        ({"colour": "red"}, "colour"),
    ):
        with pytest.raises(Invalid) as refused:
            _channel(ann, environment, **payload)
        assert refused.value.problems[0].attr == attr
    for url in ("", "http://169.254.169.254/"):
        with pytest.raises(Invalid) as refused:
            _channel(ann, environment, "slack", url=url)
        assert refused.value.problems[0].attr == "url"
    assert not NotificationSetting.objects.exists()


def test_line__of_an_event_with_a_name__says_it(happen):
    entry = happen("checkout", after={"name": "New checkout"})

    assert line_of(entry).title == "Flag changed: New checkout in web / production, by bob"
    # Else a chat refuses the message each time, and all that follows.
    assert len(line_of(happen("checkout", after={"name": "n" * 5000}, reason="r" * 2000)).text) < 1000


def test_api__settings_and_follows__are_ones_own(happen, environment, ann, bob, token):
    hers, his = (token(user, environment.project.organization) for user in (ann, bob))

    assert hers.put("notification-settings/email", {"mine": "daily"}).json() == {
        "channel": "email", "url": "", "mine": "daily", "followed": "daily", "problem": "",
    }  # fmt: skip
    assert hers.get("notification-settings").json()["count"] == 1
    assert his.get("notification-settings").json()["count"] == 0
    assert hers.put("notification-settings/pigeon", {}).json()["errors"][0]["attr"] == "channel"
    body = {"kind": "flag", "project": "web", "key": "checkout"}
    assert [hers.post("follows", body).status_code for _ in range(2)] == [201, 200]
    assert hers.post("follows", {**body, "key": "nothing"}).json()["errors"][0]["code"] == "unknown_flag"
    followed = hers.get("follows").json()["results"][0]
    assert his.delete(f"follows/{followed['id']}").status_code == 404
    assert hers.delete(f"follows/{followed['id']}").status_code == 204
    assert hers.delete("notification-settings/email").status_code == 204


def test_prune__deletes_what_is_old(happen, webhook, ann):
    happen("checkout")
    fan_out()
    sent = services.request_test(endpoint=webhook)
    type(sent).objects.update(state="failed")
    assert prune() == 0
    for model in (Notification, type(sent)):
        model.objects.update(created_at=timezone.now() - timedelta(days=91))

    assert prune() == 2
