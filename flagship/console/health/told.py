"""Health lines about what is told to the outside: webhooks, people's channels, exports. Each is there once in use."""

from datetime import datetime

from django.urls import reverse

from flagship.console.health.line import Line
from integrations.export.cursors import configured
from integrations.models import ExportTarget, NotificationSetting, WebhookEndpoint
from tenancy.console_kit.formats import counted
from tenancy.models import Environment, Organization


def told(environment: Environment) -> list[Line]:
    organization = environment.project.organization
    return [*_webhooks(organization), *_channels(organization), *_exports()]


def _webhooks(organization: Organization) -> list[Line]:
    rows = list(organization.webhooks.values_list("enabled", "disabled_reason", "cursor__failing_since"))
    if not rows:
        return []
    by_person = WebhookEndpoint.Disabled.BY_PERSON
    off = sum(not enabled and reason not in {"", by_person} for enabled, reason, _ in rows)
    failing = [since for enabled, _, since in rows if enabled and since is not None]
    said = [f"{off:,} switched off"] if off else []
    said += [f"{len(failing):,} failing since {_utc(min(failing))}"] if failing else []
    return [
        Line(
            "webhooks",
            "Webhooks",
            counted(len(rows), "webhook"),
            ", ".join(said) or "none fails",
            "bad" if off else "warn" if failing else "good",
            "Receivers that did not take their last event. It is tried again for 24 hours; then the webhook is off.",
            "See the webhook's deliveries for the answers, mend the receiver, and switch the webhook on again.",
            reverse("admin:integrations_webhookendpoint_changelist"),
            "The webhooks, for admins",
        )
    ]


def _channels(organization: Organization) -> list[Line]:
    rows = NotificationSetting.objects.filter(organization=organization, user__is_active=True)
    problems = [found != "" for found in rows.values_list("problem", flat=True)]
    if not problems:
        return []
    failing = sum(problems)
    return [
        Line(
            "channels",
            "Notifications by mail and chat",
            counted(len(problems), "channel"),
            f"{failing:,} did not take the last message" if failing else "all take messages",
            "warn" if failing else "good",
            "What people are told by e-mail and chat. What did not go is tried again, up to six hours apart.",
            "Each person sees why under For you, How you are told. If all mail fails, look at EMAIL_URL.",
        )
    ]


def _exports() -> list[Line]:
    targets = configured()
    if not targets:
        return []
    rows = {row.target: row for row in ExportTarget.objects.filter(target__in=targets)}
    failing = {kind: rows[target].failing_since for target, kind in targets.items() if target in rows}
    since: dict[str, datetime] = {kind: at for kind, at in failing.items() if at is not None}
    silent = [kind for target, kind in targets.items() if target not in rows]
    said = [f"{kind}: failing since {_utc(at)}" for kind, at in since.items()]
    said += [f"{kind}: not begun" for kind in silent]
    return [
        Line(
            "exports",
            "Exports",
            ", ".join(sorted(targets.values())),
            ", ".join(said) or "all have what there is",
            "bad" if since else "warn" if silent else "good",
            "The audit log, events and snapshots that this installation hands on. Nothing is lost while a target is "
            "away: it goes on from where it stopped.",
            "The worker's log says why (export_failed). Not begun: the worker or beat does not run.",
        )
    ]


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
