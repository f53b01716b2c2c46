"""Every page of the console: one of each route, with something to show on it, and what only sending a form shows."""

from collections.abc import Callable, Iterator
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
from flagship.tests.pageless_routes import NO_PAGE
from flagship.tests.rollout_pages import rollout_states, rollout_subjects
from integrations.models import Notification, WebhookDelivery
from integrations.services import create_webhook, follow
from tenancy import services as tenancy_services
from tenancy.admin.testing import signed_in
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

    running = subjects["experiments_experiment"] = experiment("new-checkout", at=START)
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
    stored, _ = _measured(running)
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


def _measured(experiment):
    """Users and purchases, and a result stored of them."""
    at = START + timedelta(hours=1)
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


@dataclass(frozen=True, slots=True)
class State:
    """What a page looks like asked in a certain way, or after its form was sent with other values.

    `sends` lays its values over what the form holds by itself; without it the page is only looked at.
    """

    name: str
    route: str
    subject: str = ""
    query: dict[str, Any] = field(default_factory=dict)
    sends: Callable[[World], dict[str, str]] | None = None
    status: int = 200
    who: str = "owner"


def _sent(**values: str) -> Callable[[World], dict[str, str]]:
    return lambda world: values


def _chosen(action: str, *names: str) -> Callable[[World], dict[str, str]]:
    """An act on flags chosen in the list."""
    return lambda world: {"action": action, "_selected_action": str(world.subjects[names[0]].pk)}


_FLAG, _EXPERIMENT = "admin:flags_flagconfig", "admin:experiments_experiment"
_REQUEST = "admin:approvals_changerequest"
_STALE = {"version": "1"}
_WRONG_FLAG = '{"variants": [{"key": "", "value": false}]}'
_LARGE_CHANGE = '{"enabled": true, "rollout": [{"variant": "treatment", "percent": 90}]}'
STATES = [
    State("flags of a tag, a view kept", f"{_FLAG}_changelist", query={"tag": "pay"}),
    State("flags archived", f"{_FLAG}_changelist", query={"state": "archived"}),
    State("flags new", f"{_FLAG}_changelist", query={"stage": "new", "kind": "release", "owner": "olga"}),
    State("restore chosen flags?", f"{_FLAG}_changelist", query={"state": "archived"},
          sends=_chosen("restore_selected", "gone")),
    State("no flag debt", f"{_FLAG}_debt", who="founder"),
    State("no flag found", f"{_FLAG}_changelist", query={"q": "nothing"}),
    State("release chosen flags?", f"{_FLAG}_changelist", sends=_chosen("release_selected", "killed")),
    *(State(f"{act}?", f"{_FLAG}_changelist", sends=_chosen(f"{act}_selected", "plain"))
      for act in ("kill", "archive", "tag", "copy")),
    State("a flag to copy", f"{_FLAG}_copy", "plain", query={"to": "staging"}),
    State(
        "a flag refused", f"{_FLAG}_change", "plain",
        sends=_sent(document=_WRONG_FLAG, reason="x"), status=422,
    ),
    State("a large change", f"{_FLAG}_change", "plain", sends=_sent(document=_LARGE_CHANGE)),
    State(
        "a flag changed meanwhile", f"{_FLAG}_change", "changed",
        sends=_sent(document='{"name": "Mine"}', base="{}", **_STALE), status=409,
    ),
    State("a flag killed", f"{_FLAG}_change", "killed"),
    State("a flag archived", f"{_FLAG}_change", "gone"),
    State("a flag with a prerequisite", f"{_FLAG}_change", "dependent"),
    State("a flag for a viewer", f"{_FLAG}_change", who="viewer"),
    State("a flag that is needed is not archived", f"{_FLAG}_archive", "plain", sends=_sent(), status=409),
    State("a new flag refused", f"{_FLAG}_add", sends=_sent(document='{"key": "No key"}'), status=422),
    State("a kill without a reason", f"{_FLAG}_kill", "plain", sends=_sent(reason=""), status=422),
    State("kill by tag", f"{_FLAG}_kill_tag", query={"tag": "pay"}),
    State("kill by tag without a reason", f"{_FLAG}_kill_tag", query={"tag": "pay"}, sends=_sent(kill="1"), status=422),
    State("kill all without a key", f"{_FLAG}_kill_all", sends=_sent(kill="1", reason="x"), status=422),
    State("tried for one", f"{_FLAG}_try", query={"user": "ann", "attributes": "plan=pro"}),
    State("tried for several", f"{_FLAG}_try", query={"users": "ann\nbob"}),
    State("a segment refused", "admin:flags_segment_change", sends=_sent(document='{"conditions": "x"}'), status=422),
    State(
        "a segment changed meanwhile", "admin:flags_segment_change",
        sends=_sent(document='{"name": "Mine"}', base="{}", **_STALE), status=409,
    ),
    State("a segment for a viewer", "admin:flags_segment_change", who="viewer"),
    State("a layer's other holdout", "admin:flags_layer_edit", sends=_sent(holdout="20")),
    State("a layer refused", "admin:flags_layer_edit", sends=_sent(name=""), status=422),
    State("a layer changed meanwhile", "admin:flags_layer_edit", sends=_sent(name="Mine", **_STALE), status=409),
    State("a metric refused", "admin:experiments_metric_add", sends=_sent(key="No key"), status=422),
    State(
        "a metric changed meanwhile", "admin:experiments_metric_change",
        sends=_sent(name="Mine", **_STALE), status=409,
    ),
    State("a metric for a viewer", "admin:experiments_metric_change", who="viewer"),
    State("a metric in use is not deleted", "admin:experiments_metric_delete", sends=_sent(), status=409),
    State("an experiment refused", f"{_EXPERIMENT}_add", sends=_sent(), status=422),
    State("a draft", f"{_EXPERIMENT}_change", "draft"),
    State("a draft being edited", f"{_EXPERIMENT}_edit", "draft"),
    State(
        "a draft changed meanwhile", f"{_EXPERIMENT}_edit", "draft",
        sends=_sent(document='{"name": "Mine"}', base="{}", version="0"), status=409,
    ),
    State("a started experiment is not deleted", f"{_EXPERIMENT}_delete", "paused", sends=_sent(), status=409),
    State("an experiment completed", f"{_EXPERIMENT}_change", "completed"),
    State("an experiment paused", f"{_EXPERIMENT}_change", "paused"),
    State("an experiment completed without a choice", f"{_EXPERIMENT}_complete", sends=_sent(choice=""), status=422),
    State("an experiment for a viewer", f"{_EXPERIMENT}_change", who="viewer"),
    State("results by country", f"{_EXPERIMENT}_results", query={"segment": "country"}),
    State("results of nobody", f"{_EXPERIMENT}_results", "paused"),
    State(
        "a project changed meanwhile", "admin:tenancy_project_change",
        sends=_sent(name="Mine", version="0"), status=409,
    ),
    State("a project refused", "admin:tenancy_project_add", sends=_sent(key="No key", name=""), status=422),
    State(
        "a project in use is not deleted", "admin:tenancy_project_delete", "tenancy_project",
        sends=_sent(), status=409,
    ),
    State("a project for a viewer", "admin:tenancy_project_change", who="viewer"),
    State(
        "an environment changed meanwhile", "admin:tenancy_environment_change",
        sends=_sent(name="Mine", version="0"), status=409,
    ),
    State("an environment for a viewer", "admin:tenancy_environment_change", who="viewer"),
    State("the last owner stays", "admin:tenancy_membership_remove", sends=_sent(), status=409),
    State("a member refused", "admin:tenancy_membership_add", sends=_sent(user="nobody"), status=422),
    State("a member changed meanwhile", "admin:tenancy_membership_change", sends=_sent(version="0"), status=409),
    State("a key refused", "admin:tenancy_credential_add", sends=_sent(name=""), status=422),
    State("a key shown once", "admin:tenancy_credential_add", sends=_sent(name="till")),
    State("a service account's secret shown once", "admin:tenancy_serviceaccount_secret", sends=_sent(name="ci")),
    State("a service account refused", "admin:tenancy_serviceaccount_add", sends=_sent(name=""), status=422),
    State(
        "a webhook's secret shown once", "admin:integrations_webhookendpoint_add",
        sends=_sent(name="CI", url="https://93.184.216.34/", single="flag.killed"),
    ),
    State(
        "a webhook refused", "admin:integrations_webhookendpoint_add",
        sends=_sent(name="CI", url="http://127.1/", single="flag.killed"), status=422,
    ),
    State(
        "a webhook changed meanwhile", "admin:integrations_webhookendpoint_edit",
        sends=_sent(name="Mine", version="0"), status=409,
    ),
    State("how one is told, refused", "admin:integrations_notification_settings",
          sends=_sent(slack_mine="at_once", slack_url="http://127.1/"), status=422),
    State("a webhook's events again without an instant", "admin:integrations_webhookendpoint_replay",
          sends=_sent(), status=422),
    *(State(f"in conflict: {page}", f"{_REQUEST}_{page}", "in conflict") for page in ("change", "rebase")),
    State("a conflict not decided", f"{_REQUEST}_rebase", "in conflict", sends=_sent(), status=422),
    State("an objection without a reason", f"{_REQUEST}_change", sends=_sent(verdict="object", text=""), status=422),
    State("requests for me", f"{_REQUEST}_changelist", query={"mine": "review", "touching": "flag:plain"}),
    State("a policy refused", f"{_REQUEST}_policy", sends=_sent(required_approvals="21"), status=422),
    State("a freeze refused", "admin:approvals_freeze_add", sends=_sent(name=""), status=422),
    State("a request for a viewer", f"{_REQUEST}_change", who="viewer"),
    State("a password refused", "console_password", sends=_sent(old_password="a guess")),
    *(
        State(f"no {model} yet", f"admin:{model}_changelist", who="founder")
        for model in (
            "flags_flagconfig", "flags_segment", "flags_layer", "experiments_experiment", "experiments_metric",
            "tenancy_serviceaccount", "tenancy_credential", "integrations_webhookendpoint",
            "integrations_notification", "integrations_follow", "approvals_changerequest", "approvals_freeze",
            "rollouts_rolloutplan", "rollouts_scheduledchange", "rollouts_trigger",
        )
    ),
    *(State(*one) for one in rollout_states()),
    State("an environment that is not there", f"{_FLAG}_changelist", query={"environment": "999999"}, status=404),
    State("a page for another role", f"{_FLAG}_kill_all", who="viewer", status=403),
    State("no project yet", "admin:tenancy_project_changelist", who="newcomer"),
    State("no environment yet", "admin:tenancy_environment_changelist", who="newcomer"),
    State("home of nobody", "admin:index", who="newcomer"),
]  # fmt: skip


def pages() -> list[State]:
    """One for each route that has a page, and then each state."""
    return [State(route, route) for route in routes() if route not in NO_PAGE] + STATES
