"""Every page of the console: one of each route, with something to show on it, and what only sending a form shows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flagship.tests.console_world import World, routes
from flagship.tests.pageless_routes import NO_PAGE
from flagship.tests.rollout_pages import rollout_states


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
