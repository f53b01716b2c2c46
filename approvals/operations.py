"""The changes that a request can make: how each is read, checked and made, and how it follows from a refused write.

Every act of a write service has its line here, or is exempt; a test holds that.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rest_framework.serializers import Serializer

from approvals import patch_forms
from audit.actors import Actor
from audit.export_formats import json_bytes
from experiments import services as experiments
from experiments.api import serializers as experiment_forms
from experiments.definitions import metric_resource
from experiments.documents import experiment_resource
from experiments.selectors import get_experiment, get_metric
from flags import services as flags
from flags.api import serializers as flag_forms
from flags.documents import flag_resource, layer_resource, segment_resource
from flags.selectors import get_config, get_layer, get_segment
from flags.services.gate import Act
from rollouts import services as rollouts
from rollouts.api import serializers as rollout_forms
from rollouts.documents import plan_content
from rollouts.selectors import get_plan
from tenancy.documents import environment_resource
from tenancy.errors import Invalid, NotFound
from tenancy.models import Environment
from tenancy.refusals import refuse_unknown
from tenancy.services import update_environment

Change = dict[str, Any]
Patch = Mapping[str, Any]


def as_json(value: Any) -> Any:
    """Return the value as JSON gives it back."""
    return json.loads(json_bytes(value))


# -- What is there --------------------------------------------------------------------------------------------------

_READERS: Final[Mapping[str, Callable[[Environment, str], Mapping[str, Any]]]] = {
    "flag": lambda environment, key: flag_resource(get_config(environment, key)),
    "segment": lambda environment, key: segment_resource(get_segment(environment, key)),
    "layer": lambda environment, key: layer_resource(get_layer(environment, key)),
    "experiment": lambda environment, key: experiment_resource(get_experiment(environment, key)),
    "metric": lambda environment, key: metric_resource(get_metric(environment.project, key)),
    "rollout_plan": lambda environment, key: plan_content(get_plan(environment, key)),
    "environment": lambda environment, _: environment_resource(environment),
}
RESOURCES: Final = tuple(_READERS)


def resource_now(environment: Environment, kind: str, key: str) -> dict[str, Any] | None:
    """Return the resource as the API answers it now; None where there is none."""
    try:
        found: dict[str, Any] = as_json(_READERS[kind](environment, key))
    except NotFound:
        return None
    return found


# -- What is done to it ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One change on its way into a service."""

    actor: Actor
    environment: Environment
    key: str
    patch: dict[str, Any]
    reason: str

    @property
    def where(self) -> dict[str, Any]:
        return {"actor": self.actor, "environment": self.environment}


@dataclass(frozen=True, slots=True)
class Operation:
    """`make` does it. `form` checks the patch; None: it takes none. `sets_fields` says that the patch names fields."""

    resource: str
    action: str
    make: Callable[[Call], Any]
    form: type[Serializer[Any]] | None = None
    sets_fields: bool = False
    makes_new: bool = False
    # The patch of a refused act, from its arguments.
    patch_of: Callable[[Mapping[str, Any]], Patch] = lambda _: {}

    @property
    def name(self) -> str:
        return f"{self.resource}.{self.action}"


def _payload(arguments: Mapping[str, Any]) -> Patch:
    return {name: value for name, value in arguments["payload"].items() if name != "version"}


def _only(*names: str) -> Callable[[Mapping[str, Any]], Patch]:
    return lambda arguments: {name: arguments[name] for name in names if arguments.get(name) is not None}


def _keyed(call: Call) -> dict[str, Any]:
    return {**call.patch, "key": call.key}


def _copy(call: Call) -> Any:
    source = call.environment.project.environments.select_related("project__organization").get(key=call.patch["from"])
    return flags.copy_flag(actor=call.actor, source=source, target=call.environment, key=call.key, reason=call.reason)


def _set_exposures(call: Call) -> None:
    refuse_unknown(call.patch, {"exposures"})
    update_environment(**call.where, payload=call.patch, version=None)


def _import(call: Call) -> None:
    report = flags.import_environment(
        **call.where, data=call.patch["data"], keeps_existing=call.patch.get("keepExisting", False)
    )
    if report.skipped:
        left_out = ", ".join(f"{item['entity']} {item['key']}" for item in report.skipped[:5])
        raise Invalid(f"The import would leave out: {left_out}. Mend or remove them.", attr="data", code="skipped")


def _flag_field(call: Call, *, is_partial: bool) -> Any:
    return flags.update_flag(
        **call.where, key=call.key, payload=call.patch, version=None, is_partial=is_partial, reason=call.reason
    )


def _segment_field(call: Call, *, is_partial: bool) -> Any:
    return flags.update_segment(
        **call.where, key=call.key, payload=call.patch, version=None, is_partial=is_partial, reason=call.reason
    )


def _experiment_field(call: Call, *, is_partial: bool) -> Any:
    return experiments.update_experiment(
        **call.where, pk=call.key, payload=call.patch, version=None, is_partial=is_partial
    )


def _metric_field(call: Call, *, is_partial: bool) -> Any:
    return experiments.update_metric(
        **call.where, key=call.key, payload=call.patch, version=None, is_partial=is_partial
    )


def _start(call: Call) -> Any:
    enable = call.patch.get("enableFlag", False)
    return experiments.start_experiment(**call.where, pk=call.key, enable_flag=enable, reason=call.reason)


def _restart(call: Call) -> Any:
    changes = {name: value for name, value in call.patch.items() if name != "reason"}
    return experiments.restart_experiment(**call.where, pk=call.key, changes=changes, reason=call.reason)


def _complete(call: Call) -> Any:
    # Where the results speak against it a reason is asked for, and a title is none.
    said = call.patch.get("reason", "")
    return experiments.complete_experiment(
        **call.where,
        pk=call.key,
        decision=call.patch.get("decision", ""),
        variant=call.patch.get("variant"),
        to=call.patch.get("to"),
        reason=said,
    )


def _start_patch(arguments: Mapping[str, Any]) -> Patch:
    return {"enableFlag": True} if arguments.get("enable_flag") else {}


def _restart_patch(arguments: Mapping[str, Any]) -> Patch:
    return dict(arguments.get("changes") or {})


def _import_patch(arguments: Mapping[str, Any]) -> Patch:
    return {"data": arguments["data"], "keepExisting": bool(arguments.get("keeps_existing"))}


def _copy_patch(arguments: Mapping[str, Any]) -> Patch:
    return {"from": arguments["source"].key}


def _exposures_patch(arguments: Mapping[str, Any]) -> Patch:
    return {"exposures": str(arguments["environment"].exposures)}


_Flag, _Segment, _Layer = flag_forms.FlagSerializer, flag_forms.SegmentSerializer, flag_forms.LayerSerializer
_Experiment, _Metric = experiment_forms.ExperimentSerializer, experiment_forms.MetricSerializer

_ALL: Final = (
    Operation("flag", "create", lambda c: flags.create_flag(**c.where, payload=_keyed(c)), _Flag, True, True, _payload),
    Operation("flag", "update", lambda c: _flag_field(c, is_partial=True), _Flag, True, patch_of=_payload),
    Operation("flag", "replace", lambda c: _flag_field(c, is_partial=False), _Flag, patch_of=_payload),
    # Whoever reviews the request is the second who is asked about a flag that is still evaluated.
    Operation("flag", "archive", lambda c: flags.archive_flag(**c.where, key=c.key, reason=c.reason, confirm=c.key)),
    Operation("flag", "restore", lambda c: flags.restore_flag(**c.where, key=c.key, reason=c.reason)),
    Operation(
        "flag",
        "rollback",
        lambda c: flags.rollback_flag(**c.where, key=c.key, version=c.patch["version"], reason=c.reason),
        flag_forms.RollbackSerializer,
        patch_of=_only("version"),
    ),
    Operation("flag", "copy", _copy, patch_forms.CopiedSerializer, patch_of=_copy_patch),
    Operation("flag", "release", lambda c: flags.release_flag(**c.where, key=c.key, reason=c.reason)),
    Operation(
        "segment",
        "create",
        lambda c: flags.create_segment(**c.where, payload=_keyed(c)),
        _Segment,
        True,
        True,
        _payload,
    ),
    Operation("segment", "update", lambda c: _segment_field(c, is_partial=True), _Segment, True, patch_of=_payload),
    Operation("segment", "replace", lambda c: _segment_field(c, is_partial=False), _Segment, patch_of=_payload),
    Operation("segment", "delete", lambda c: flags.delete_segment(**c.where, key=c.key, reason=c.reason)),
    Operation(
        "layer", "create", lambda c: flags.create_layer(**c.where, payload=_keyed(c)), _Layer, True, True, _payload
    ),
    Operation(
        "layer",
        "update",
        lambda c: flags.update_layer(**c.where, key=c.key, payload=c.patch, version=None),
        _Layer,
        True,
        patch_of=_payload,
    ),
    Operation("layer", "delete", lambda c: flags.delete_layer(**c.where, key=c.key, reason=c.reason)),
    Operation(
        "experiment", "update", lambda c: _experiment_field(c, is_partial=True), _Experiment, True, patch_of=_payload
    ),
    Operation(
        "experiment", "replace", lambda c: _experiment_field(c, is_partial=False), _Experiment, patch_of=_payload
    ),
    Operation("experiment", "start", _start, experiment_forms.StartSerializer, patch_of=_start_patch),
    Operation("experiment", "resume", lambda c: experiments.resume_experiment(**c.where, pk=c.key, reason=c.reason)),
    Operation("experiment", "restart", _restart, experiment_forms.RestartSerializer, patch_of=_restart_patch),
    Operation(
        "experiment",
        "complete",
        _complete,
        experiment_forms.DecisionSerializer,
        patch_of=_only("decision", "variant", "to", "reason"),
    ),
    Operation(
        "experiment",
        "release",
        # As in `_complete`: a title is no reason.
        lambda c: rollouts.release_winner(**c.where, pk=c.key, payload=c.patch),
        rollout_forms.ReleaseSerializer,
        patch_of=_payload,
    ),
    Operation("rollout_plan", "start", lambda c: rollouts.start_plan(**c.where, key=c.key, reason=c.reason)),
    Operation("rollout_plan", "resume", lambda c: rollouts.resume_plan(**c.where, key=c.key, reason=c.reason)),
    Operation("rollout_plan", "rollback", lambda c: rollouts.rollback_plan(**c.where, key=c.key, reason=c.reason)),
    Operation("rollout_plan", "advance", lambda c: rollouts.advance_plan(**c.where, key=c.key, reason=c.reason)),
    Operation("metric", "update", lambda c: _metric_field(c, is_partial=True), _Metric, True, patch_of=_payload),
    Operation("metric", "replace", lambda c: _metric_field(c, is_partial=False), _Metric, patch_of=_payload),
    Operation(
        "environment",
        "update",
        _set_exposures,
        patch_forms.LoggedExposuresSerializer,
        True,
        patch_of=_exposures_patch,
    ),
    Operation("environment", "import", _import, patch_forms.ImportedSerializer, patch_of=_import_patch),
)
OPERATIONS: Final[Mapping[str, Operation]] = {operation.name: operation for operation in _ALL}


def get_operation(kind: str, action: str, *, attr: str) -> Operation:
    """Raise Invalid for what no request can do."""
    found = OPERATIONS.get(f"{kind}.{action}")
    if found is None:
        known = ", ".join(name.partition(".")[2] for name in OPERATIONS if name.startswith(f"{kind}."))
        raise Invalid(
            f"A change of a {kind} has one of the actions: {known}.", attr=f"{attr}.action", code="invalid_choice"
        )
    return found


# -- From a refused write -------------------------------------------------------------------------------------------


def ready_changes(act: Act, versions: Mapping[str, int | None]) -> list[Change]:
    """Return the changes that would do what was refused, ready to be sent; none where no request can do it.

    `versions` are those of the refused things, by key, from before the write: it is not taken back yet.
    """
    operation = OPERATIONS.get(act.name)
    if operation is None:
        return []
    arguments = act.arguments
    if arguments.get("is_partial") is False:
        operation = OPERATIONS[f"{operation.resource}.replace"]
    patch = as_json(operation.patch_of(arguments))
    return [
        {
            "resource": {"type": operation.resource, "key": key},
            "action": operation.action,
            "patch": patch,
            "baseVersion": _version(operation, key, arguments, versions),
        }
        for key in _keys(operation, arguments, versions)
    ]


def _keys(operation: Operation, arguments: Mapping[str, Any], versions: Mapping[str, int | None]) -> list[str]:
    if operation.resource == "environment":
        return [arguments["environment"].key]
    if "keys" in arguments:
        return sorted(versions)
    return [str(arguments.get("key") or arguments.get("pk") or arguments.get("payload", {}).get("key", ""))]


def _version(
    operation: Operation, key: str, arguments: Mapping[str, Any], versions: Mapping[str, int | None]
) -> int | None:
    if operation.makes_new:
        return None
    # A rollback's version is the one to go back to.
    sent = arguments.get("version") if operation.action != "rollback" else None
    return sent if sent is not None else versions.get(key) if operation.resource in {"flag", "segment"} else None
