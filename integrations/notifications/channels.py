"""Sending a message through a channel: e-mail by Django, chats by their incoming webhooks.

Chats are called by `integrations.outside` as everything that people enter is, so nobody reaches an inner network by
way of a chat's address. Names in a message are data: they mention nobody, and format nothing.
"""

from collections.abc import Callable, Sequence
from smtplib import SMTPException
from typing import Any, Final

from django.core.mail import send_mail

from audit.export_formats import json_bytes
from integrations.models import NotificationSetting
from integrations.notifications.words import Line
from integrations.outside.calls import CallError, post

_Channel = NotificationSetting.Channel
_MOST_DISCORD_CHARACTERS: Final = 2000


class NotSentError(Exception):
    """The message did not go; the text says why."""


class MailAwayError(NotSentError):
    """The mail server cannot be reached, so no other mail would go either."""


def send(setting: NotificationSetting, subject: str, lines: Sequence[Line], more: str) -> None:
    """Send one message with these events. Raises NotSentError."""
    if setting.channel == _Channel.EMAIL:
        _send_mail(setting, subject, lines, more)
        return
    body = json_bytes(_FORMS[setting.channel](subject, lines, more))
    try:
        answer = post(setting.url, body, {"Content-Type": "application/json"})
    except CallError as error:
        raise NotSentError(str(error)) from error
    if not 200 <= answer.status < 300:
        raise NotSentError(f"{setting.get_channel_display()} answered {answer.status}.")


def _send_mail(setting: NotificationSetting, subject: str, lines: Sequence[Line], more: str) -> None:
    if not setting.user.email:
        raise NotSentError("You have no e-mail address here; an administrator can enter one.")
    body = "\n\n".join([*(line.text for line in lines), *([more] if more else [])])
    try:
        send_mail(" ".join(subject.split()), body, None, [setting.user.email])
    except SMTPException as error:
        raise NotSentError(f"The mail server did not take it: {type(error).__name__}.") from error
    except OSError as error:
        raise MailAwayError(f"The mail server cannot be reached: {type(error).__name__}.") from error
    except ValueError as error:
        # A single sign-on may hand over anything for an address.
        raise NotSentError("Your account's e-mail address is none that mail can be sent to.") from error


def _plain(subject: str, lines: Sequence[Line], more: str) -> str:
    return "\n\n".join(part for part in (subject, *(line.text for line in lines), more) if part)


def slack(subject: str, lines: Sequence[Line], more: str) -> dict[str, Any]:
    text = _plain(subject, lines, more)
    for raw, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(raw, escaped)
    return {"text": text, "mrkdwn": False}


def discord(subject: str, lines: Sequence[Line], more: str) -> dict[str, Any]:
    text = _plain(subject, lines, more)
    cut = text if len(text) <= _MOST_DISCORD_CHARACTERS else f"{text[: _MOST_DISCORD_CHARACTERS - 1]}…"
    return {"content": cut, "allowed_mentions": {"parse": []}}


def teams(subject: str, lines: Sequence[Line], more: str) -> dict[str, Any]:
    def block(text: str, **style: Any) -> dict[str, Any]:
        return {"type": "TextBlock", "text": text, "wrap": True, **style}

    def event(line: Line) -> dict[str, Any]:
        # A run of text formats nothing, which a block of text would.
        runs = [{"type": "TextRun", "text": f"{line.title} ", "weight": "Bolder"}]
        runs += [{"type": "TextRun", "text": f"{line.detail} "}] if line.detail else []
        link = {"type": "Action.OpenUrl", "url": line.url}
        return {"type": "RichTextBlock", "inlines": [*runs, {"type": "TextRun", "text": "Open", "selectAction": link}]}

    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [block(subject, weight="Bolder"), *map(event, lines), *([block(more)] if more else [])],
    }
    card = {"contentType": "application/vnd.microsoft.card.adaptive", "content": content}
    return {"type": "message", "attachments": [card]}


_FORMS: Final[dict[str, Callable[[str, Sequence[Line], str], dict[str, Any]]]] = {
    _Channel.SLACK: slack,
    _Channel.DISCORD: discord,
    _Channel.TEAMS: teams,
}
