"""One of each thing of a tenant in each state that has a page of its own, and the address of each page about it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from analytics.event_records import Batch
from analytics.services import store_events
from approvals.services import create_freeze, create_request
from audit.models import Entry
from experiments import services as experiment_services
from experiments.analysis import window_of
from experiments.tests.conftest import START, conversion, exposure
from flags import services
from flags.models import DebtDay
from flagship.tests.rollout_pages import rollout_subjects
from integrations.models import Notification, WebhookDelivery
from integrations.services import create_webhook, follow
from tenancy import services as tenancy_services
from tenancy.admin.testing import Tenant, signed_in
from tenancy.callers.principals import principal_of_user
from tenancy.models import Membership, PrivacyJob, User
from tenancy.roles import Role
from tenancy.services.saved_views import save_view
from tenancy.testing import ALICE


@dataclass(slots=True)
class World:
    """A tenant with one of each thing in each state that has a page of its own."""

    people: dict[str, Client]
    subjects: dict[str, Any] = field(default_factory=dict)

    def url(self, route: str, subject: str = "", **query: Any) -> str:
        """The route's address, about the subject named, else about the one that the route is usually about."""
        names = _parameters()[route]
        thing = self.subjects.get(subject or _SUBJECTS.get(route, "") or _model_of(route))
        known = {"object_id": getattr(thing, "pk", thing), "version": 1, "name": "lift", **self.subjects["ids"]}
        address = reverse(route, args=[known[name] for name in names])
        return f"{address}?{urlencode(query)}" if query else address


# Pages about something that is in a state of its own.
_SUBJECTS = {
    "admin:flags_flagconfig_release": "killed",
    "admin:flags_flagconfig_restore": "gone",
    "admin:experiments_experiment_start": "draft",
    "admin:experiments_experiment_delete": "draft",
    "admin:experiments_experiment_resume": "paused",
    "admin:tenancy_project_delete": "empty project",
    "admin:rollouts_rolloutplan_edit": "planned",
    "admin:rollouts_rolloutplan_start": "planned",
    "admin:rollouts_rolloutplan_resume": "resting",
}


def routes() -> list[str]:
    """Each named route of the console."""
    return list(_parameters())


def _parameters() -> dict[str, list[str]]:
    found = {}
    for entry in get_resolver().url_patterns:
        if str(entry.pattern).startswith("admin/"):
            found |= dict(_named(entry))
    return found


def _named(entry: URLPattern | URLResolver) -> Iterator[tuple[str, list[str]]]:
    if isinstance(entry, URLPattern):
        yield entry.name, list(entry.pattern.converters)
        return
    for inner in entry.url_patterns:
        if isinstance(inner, URLPattern) and inner.name and inner.name != "app_list":
            yield f"admin:{inner.name}", list(inner.pattern.converters)
        elif isinstance(inner, URLResolver):
            yield from ((name, parameters) for name, parameters in _named(inner) if not name.endswith(":None"))


def _model_of(route: str) -> str:
    for model in admin.site._registry:
        label = model._meta.label_lower.replace(".", "_")
        if route.startswith(f"admin:{label}_"):
            return label
    return ""


@pytest.fixture
def world(acme, console_owner, console_viewer, console_outsider, person):
    newcomer = signed_in(person(Role.OWNER, tenancy_services.create_organization(actor=ALICE, slug="new", name="New")))
    people = {"owner": console_owner, "viewer": console_viewer, "founder": console_outsider, "newcomer": newcomer}
    return world_of(acme, people)


def world_of(acme: Tenant, people: dict[str, Client], start: datetime = START) -> World:
    """Fill the tenant, whose owner is called olga; its first experiment runs since `start`."""
    made = World(people)
    environment = acme.production
    subjects = made.subjects
    half = [{"variant": "treatment", "percent": 50}]
    rule = {
        "priority": 10,
        "name": "Pro in the US",
        "variant": "treatment",
        "conditions": [
            {"attribute": "country", "operator": "equals", "value": "US"},
            {"attribute": "plan", "operator": "in", "value": ["pro", "team"]},
        ],
    }

    def flag(key, **payload):
        content = {"key": key, "enabled": True, "tags": ["pay"], "rollout": half, **payload}
        return services.create_flag(actor=ALICE, environment=environment, payload=content)[0]

    young = {"attribute": "age", "operator": "less_than", "value": 18}
    either = {"any": [young, {"attribute": "vip", "operator": "exists"}]}
    tree = {"all": [{"attribute": "plan", "operator": "in", "value": ["pro", "team"]}, either]}
    segment = {"key": "beta", "included": ["ann"], "conditions": tree}
    subjects["flags_segment"], _ = services.create_segment(actor=ALICE, environment=environment, payload=segment)
    services.update_segment(actor=ALICE, environment=environment, key="beta", payload={"name": "Theirs"}, version=1)
    asks = {"priority": 20, "variant": "treatment", "conditions": [{"operator": "in_segment", "value": ["beta"]}]}
    subjects["flags_flagconfig"] = flag("new-checkout", rules=[rule, asks])
    subjects["plain"] = flag("plain", expectedEnd="2026-01-31", owner="olga", team="checkout", kind="release")
    needed = {"prerequisites": [{"flagKey": "plain", "variants": ["treatment"]}]}
    subjects["dependent"] = flag("dependent", **needed)
    for key in ("killed", "gone", "tried", "held", "changed"):
        subjects[key] = flag(key)
    services.update_flag(actor=ALICE, environment=environment, key="changed", payload={"name": "Theirs"}, version=1)
    services.kill_flag(actor=ALICE, environment=environment, key="killed", reason="Errors")
    for day in range(2):
        DebtDay.objects.create(project=acme.project, day=datetime.now(UTC).date() - timedelta(days=day), complete=day)
    services.archive_flag(actor=ALICE, environment=environment, key="gone", reason="Done")
    subjects["flags_layer"], _ = services.create_layer(actor=ALICE, environment=environment, payload={"key": "till"})
    metric = {"key": "purchase-rate", "type": "binary", "eventName": "purchase"}
    subjects["experiments_metric"], _ = experiment_services.create_metric(
        actor=ALICE, environment=environment, payload=metric
    )
    services.update_layer(actor=ALICE, environment=environment, key="till", payload={"name": "Theirs"}, version=1)
    experiment_services.update_metric(
        actor=ALICE, environment=environment, key="purchase-rate", payload={"name": "Theirs"}, version=1
    )

    def experiment(key, *, starts=True, at=None):
        content = {"name": f"On {key}", "flagKey": key, "primaryMetric": "purchase-rate"}
        draft = experiment_services.create_experiment(actor=ALICE, environment=environment, payload=content)
        if starts:
            experiment_services.start_experiment(actor=ALICE, environment=environment, pk=draft.pk, at=at)
            draft.refresh_from_db()
        return draft

    running = subjects["experiments_experiment"] = experiment("new-checkout", at=start)
    subjects["draft"] = experiment("plain", starts=False)
    subjects["paused"] = experiment("held")
    experiment_services.pause_experiment(actor=ALICE, environment=environment, pk=subjects["paused"].pk)
    subjects["completed"] = experiment("tried")
    experiment_services.complete_experiment(
        actor=ALICE,
        environment=environment,
        pk=subjects["completed"].pk,
        decision="stop",
        variant=None,
        reason="Enough",
    )
    stored, _ = _measured(running, start)
    account, _ = tenancy_services.create_service_account(actor=ALICE, organization=acme.organization, name="deploy-bot")
    issued = tenancy_services.issue_credential(
        actor=ALICE, kind="server", name="shop", organization=acme.organization, environment=environment
    )
    olga = User.objects.get(username="olga")
    address = {"name": "CI", "url": "https://93.184.216.34/hook", "events": ["flag.*", "experiment.alarmed"]}
    hook = create_webhook(actor=ALICE, organization=acme.organization, payload=address).endpoint
    sent = WebhookDelivery.objects.create(
        endpoint=hook, state="failed", event_type="flag.created", event_id="evt_1", position=1, response_status=500,
        response_body="Oops", request_headers={"webhook-id": "evt_1"}, duration_ms=12,
    )  # fmt: skip
    flag("stepped", rollout=[{"variant": "treatment", "percent": 5}])
    subjects |= rollout_subjects(environment, olga)
    view = save_view(
        user=olga, organization=acme.organization, page="flags_flagconfig", name="Paying",
        query="tag=pay", is_shared=True,
    )  # fmt: skip

    def proposed(title, key, **patch):
        payload = {"title": title, "changes": [{"resource": {"type": "flag", "key": key}, "patch": patch}]}
        principal = principal_of_user(User.objects.get(username="olga"))
        return create_request(principal=principal, environment=environment, payload=payload)

    request = proposed("Off", "plain", enabled=False)
    subjects["in conflict"] = proposed("Mine", "changed", description="Mine")
    theirs = {"description": "Theirs"}
    services.update_flag(actor=ALICE, environment=environment, key="changed", payload=theirs, version=2)
    far = {"name": "Holidays", "since": datetime(2099, 12, 24, tzinfo=UTC), "until": datetime(2099, 12, 27, tzinfo=UTC)}
    subjects |= {
        "approvals_changerequest": request,
        "approvals_freeze": create_freeze(actor=ALICE, place=acme.staging, payload=far),
        "integrations_webhookendpoint": hook,
        "integrations_follow": follow(user=olga, project=acme.project, kind="flag", key="plain")[0],
        "integrations_notification": Notification.objects.create(
            user=olga, organization=acme.organization, position=1, why="mine"
        ),
        "integrations_webhookdelivery": sent,
        "tenancy_organization": acme.organization,
        "tenancy_project": acme.project,
        "empty project": tenancy_services.create_project(
            actor=ALICE, organization=acme.organization, key="empty", name="Empty"
        ),
        "tenancy_environment": environment,
        "staging": acme.staging,
        "tenancy_membership": Membership.objects.get(user__username="olga"),
        "tenancy_serviceaccount": account,
        "tenancy_credential": issued.credential,
        "tenancy_privacyjob": PrivacyJob.objects.create(organization=acme.organization, act="erase", kind="u", total=3),
        "audit_entry": Entry.objects.order_by("-id").first(),
        "ids": {"result_id": stored.pk, "pk": view.pk, "app_label": "flags", "content_type_id": 1},
    }
    return made


def _measured(experiment, start):
    """Users and purchases, and a result stored of them."""
    at = start + timedelta(hours=1)
    exposures, conversions = [], []
    for variant in ("control", "treatment"):
        for number in range(40):
            country = "DE" if number % 2 else "FR"
            unit = f"{variant}-{number}"
            exposures.append(exposure(experiment, unit, variant, at, f'{{"country": "{country}"}}'))
            if number < 10:
                conversions.append(conversion(experiment, unit, at + timedelta(minutes=1)))
    store_events(Batch(exposures, conversions))
    return experiment_services.store_results(experiment=experiment, window=window_of(experiment))
