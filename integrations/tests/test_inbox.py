"""For you, in the console: what is new, its count in the header, and the settings of channels."""

from django.urls import reverse

from integrations.models import Notification, NotificationSetting
from integrations.notifications.fan_out import fan_out
from tenancy.admin.testing import signed_in


def test_inbox__lists_ones_own__and_marks_it_read(happen, ann, bob):
    happen("checkout", "flag.killed", reason="errors")
    fan_out()
    hers, his = signed_in(ann), signed_in(bob)
    address = reverse("admin:integrations_notification_changelist")

    assert "Flag killed: checkout" in hers.get(address).text
    assert "Flag killed" not in his.get(address).text
    seen = Notification.objects.get()
    assert f'name="up_to" value="{seen.pk}"' in hers.get(address).text
    # One comes while she reads.
    happen("checkout", "flag.released")
    fan_out()
    mark = reverse("admin:integrations_notification_read")
    assert hers.post(mark).status_code == hers.post(mark, {"up_to": "-1"}).status_code == 400
    hers.post(mark, {"up_to": seen.pk})
    assert {row.pk == seen.pk: row.read_at is not None for row in Notification.objects.all()} == {
        True: True,
        False: False,
    }


def test_inbox__the_page_asks_again__is_answered_with_the_list_alone(happen, ann):
    happen("checkout", "flag.killed", reason="errors")
    fan_out()
    address = reverse("admin:integrations_notification_changelist")
    part = signed_in(ann).get(address, headers={"HX-Request": "true", "HX-Target": "changelist-form"})

    assert "Flag killed: checkout" in part.text
    assert not any(tag in part.text for tag in ("<html", "<style", "<script", "<form"))


def test_unread__is_counted_for_whoever_asks(happen, ann, bob):
    hers, his = signed_in(ann), signed_in(bob)
    nothing = hers.get(reverse("console_unread")).text
    happen("checkout")
    fan_out()

    assert " hidden>0<" in nothing
    assert "hidden" not in hers.get(reverse("console_unread")).text
    assert " hidden>0<" in his.get(reverse("console_unread")).text
    Notification.objects.bulk_create(
        Notification(user=ann, organization_id=Notification.objects.get().organization_id, position=-number, why="mine")
        for number in range(120)
    )
    assert ">99+<" in hers.get(reverse("console_unread")).text


def test_settings_page__an_address_that_is_emptied__removes_the_channel(happen, environment, ann):
    page, client = reverse("admin:integrations_notification_settings"), signed_in(ann)
    sent = {f"{channel}_{name}": "off" for channel in NotificationSetting.Channel for name in ("mine", "followed")}
    chat = {**sent, "slack_mine": "at_once", "slack_url": "https://93.184.216.34/T0"}
    client.post(page, chat)
    assert NotificationSetting.objects.get().channel == "slack"
    client.post(page, {**chat, "slack_url": ""})

    assert not NotificationSetting.objects.exists()


def test_settings_page__saves_channels_and_names_what_is_wrong(happen, environment, ann):
    page, client = reverse("admin:integrations_notification_settings"), signed_in(ann)
    sent = {f"{channel}_{name}": "off" for channel in NotificationSetting.Channel for name in ("mine", "followed")}

    refused = client.post(page, {**sent, "slack_mine": "at_once", "slack_url": "http://10.0.0.1/"})
    assert refused.status_code == 422
    assert "no public address" in refused.text
    client.post(page, {**sent, "email_mine": "daily"})
    setting = NotificationSetting.objects.get()
    assert (setting.channel, setting.mine, setting.followed) == ("email", "daily", "off")
