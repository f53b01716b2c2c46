"""The engines that are measured: ours, and the rivals nearest to it; each fed the same workload in its own format.

Imports of a rival stay inside its class: each runs in a virtual environment of its own.
"""

# ruff: noqa: PLC0415 a rival can be imported only where it is installed

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from benchmarks.engine.statsig_specs import core_specs
from benchmarks.engine.workload import BOOLEAN, FLAGS, KINDS, RULED, Flag, ranges

Loop = Callable[[Sequence[Any]], object]


class Engine:
    """`pins` is what pip installs; `note` says what a call includes; `has_details` whether it gives a reason too."""

    name: ClassVar[str]
    pins: ClassVar[list[str]] = []
    note: ClassVar[str]
    has_details: ClassVar[bool] = True
    workloads: ClassVar[tuple[str, ...]] = ("W1", "W2", "W3", "W4")

    def load(self) -> None:
        raise NotImplementedError

    def context(self, user: str, attributes: dict[str, Any]) -> Any:
        raise NotImplementedError

    def ask(self, key: str, context: Any) -> Any:
        """The value of one flag, for the check that nobody serves defaults."""
        raise NotImplementedError

    def loops(self) -> dict[str, Loop]:
        """For each workload, a loop over contexts; W4 evaluates all flags for each."""
        raise NotImplementedError


class OpenFlagship(Engine):
    name = "openflagship"
    note = "the full answer: value, variant, reason, rule id, experiment, detail, version"

    def load(self) -> None:
        from openflagship.engine import CompiledEnvironment, Context

        self.context = Context
        self.environment = CompiledEnvironment.from_document(openflagship_snapshot(FLAGS))

    def ask(self, key: str, context: Any) -> Any:
        assert self.environment.evaluate_all(context)[key] == self.environment.evaluate(key, context)
        return self.environment.evaluate(key, context).value

    def loops(self) -> dict[str, Loop]:
        environment = self.environment

        def single(key: str, default: Any) -> Loop:
            def run(contexts: Sequence[Any]) -> None:
                evaluate = environment.evaluate
                for context in contexts:
                    evaluate(key, context, default)

            return run

        def everything(contexts: Sequence[Any]) -> None:
            for context in contexts:
                environment.evaluate_all(context)

        return {"W1": single("w1", False), "W2": single("w2", "control"), "W3": single("w3", "a"), "W4": everything}


def openflagship_snapshot(flags: Sequence[Flag]) -> dict[str, Any]:
    documents = {}
    for flag in flags:
        is_boolean = flag.kind == BOOLEAN
        documents[flag.key] = {
            "key": flag.key,
            "type": "boolean" if is_boolean else "string",
            "enabled": True,
            "variants": [{"key": key, "value": key == "on" if is_boolean else key} for key in flag.variants],
            "allocation": [] if flag.kind == RULED else [list(item) for item in ranges(flag.split)],
            "rules": [
                {
                    "id": f"rule-{number}",
                    "priority": number,
                    "variant": variant,
                    "conditions": [{"attribute": name, "operator": how, "value": value} for name, how, value in rule],
                }
                for number, (rule, variant) in enumerate(flag.rules)
            ],
        }
    return {"contract": 1, "version": 1, "flags": documents}


class Eppo(Engine):
    name = "eppo"
    pins = ["eppo-server-sdk==4.4.1"]
    note = "Rust core; the value only, no reason"
    has_details = False

    def load(self) -> None:
        import eppo_client

        operators = {"equals": "ONE_OF", "in": "ONE_OF", "greater_than": "GT", "starts_with": "MATCHES"}
        flags = {}
        for flag in FLAGS:
            allocations = []
            for number, (rule, variant) in enumerate(flag.rules):
                conditions = []
                for attribute, how, value in rule:
                    wanted = [value] if how == "equals" else f"^{value}" if how == "starts_with" else value
                    conditions.append({"attribute": attribute, "operator": operators[how], "value": wanted})
                split = {"variationKey": variant, "shards": []}
                allocations.append(
                    {"key": f"rule-{number}", "doLog": False, "rules": [{"conditions": conditions}], "splits": [split]}
                )
            if flag.kind != RULED:
                splits = [
                    {"variationKey": variant, "shards": [{"salt": flag.key, "ranges": [{"start": start, "end": end}]}]}
                    for start, end, variant in ranges(flag.split)
                ]
                allocations.append({"key": "all", "doLog": False, "rules": [], "splits": splits})
            values = {key: key == "on" if flag.kind == BOOLEAN else key for key in flag.variants}
            flags[flag.key] = {
                "key": flag.key,
                "enabled": True,
                "totalShards": 10_000,
                "variationType": "BOOLEAN" if flag.kind == BOOLEAN else "STRING",
                "variations": {key: {"key": key, "value": value} for key, value in values.items()},
                "allocations": allocations,
            }
        document = {
            "createdAt": "2026-01-01T00:00:00Z",
            "format": "SERVER",
            "environment": {"name": "Test"},
            "flags": flags,
        }

        class Silent(eppo_client.AssignmentLogger):
            def log_assignment(self, event: Any) -> None: ...

            def log_bandit_action(self, event: Any) -> None: ...

        configuration = eppo_client.Configuration(flags_configuration=json.dumps(document).encode())
        self.client = eppo_client.init(
            eppo_client.ClientConfig(
                api_key="none",
                base_url="http://localhost:1",
                assignment_logger=Silent(),
                poll_interval_seconds=None,
                is_graceful_mode=False,
                initial_configuration=configuration,
            )
        )

    def context(self, user: str, attributes: dict[str, Any]) -> Any:
        return user, dict(attributes)

    def ask(self, key: str, context: Any) -> Any:
        if KINDS[key] == BOOLEAN:
            return self.client.get_boolean_assignment(key, *context, False)
        return self.client.get_string_assignment(key, *context, "none")

    def loops(self) -> dict[str, Loop]:
        boolean, text = self._methods()

        def single(method: Any, key: str, default: Any) -> Loop:
            def run(contexts: Sequence[Any]) -> None:
                for user, attributes in contexts:
                    method(key, user, attributes, default)

            return run

        def everything(contexts: Sequence[Any]) -> None:
            for user, attributes in contexts:
                for key, kind in KINDS.items():
                    if kind == BOOLEAN:
                        boolean(key, user, attributes, False)
                    else:
                        text(key, user, attributes, "control")

        loops = {"W1": single(boolean, "w1", False), "W2": single(text, "w2", "control")}
        return {**loops, "W3": single(text, "w3", "a"), "W4": everything}

    def _methods(self) -> tuple[Any, Any]:
        return self.client.get_boolean_assignment, self.client.get_string_assignment


class EppoDetails(Eppo):
    name = "eppo, details"
    note = "Rust core; get_*_assignment_details"
    has_details = True

    def _methods(self) -> tuple[Any, Any]:
        return self.client.get_boolean_assignment_details, self.client.get_string_assignment_details


class StatsigCore(Engine):
    name = "statsig core"
    pins = ["statsig-python-core==0.24.0"]
    note = "Rust core; rule id and details; W4 is get_client_initialize_response, a JSON text"

    def load(self) -> None:
        from statsig_python_core import DataStore, DataStoreResponse, Statsig, StatsigOptions, StatsigUser

        text = json.dumps(core_specs())

        class Store(DataStore):
            def get(self, key: str) -> Any:  # noqa: ARG002 there is one document
                return DataStoreResponse(result=text, time=1_700_000_000_000)

        options = StatsigOptions()
        options.data_store = Store()
        options.disable_network = True
        options.disable_all_logging = True
        options.disable_country_lookup = True
        options.disable_disk_access = True
        options.output_log_level = "none"
        self.client = Statsig("secret-key", options)
        self.client.initialize().wait()
        self.user_type = StatsigUser

    def context(self, user: str, attributes: dict[str, Any]) -> Any:
        return self.user_type(user_id=user, custom=attributes)

    def ask(self, key: str, context: Any) -> Any:
        if KINDS[key] == BOOLEAN:
            return self.client.get_feature_gate(context, key).value
        return self.client.get_dynamic_config(context, key).value["variant"]

    def loops(self) -> dict[str, Loop]:
        client = self.client

        def single(method: Any, key: str) -> Loop:
            def run(contexts: Sequence[Any]) -> None:
                for context in contexts:
                    method(context, key)

            return run

        def everything(contexts: Sequence[Any]) -> None:
            for context in contexts:
                client.get_client_initialize_response(context, hash="none")

        return {
            "W1": single(client.get_feature_gate, "w1"),
            "W2": single(client.get_dynamic_config, "w2"),
            "W3": single(client.get_dynamic_config, "w3"),
            "W4": everything,
        }


class LaunchDarkly(Engine):
    name = "launchdarkly"
    pins = ["launchdarkly-server-sdk==9.18.2"]
    note = "variation_detail; W4 is all_flags_state(with_reasons=True); events off"

    def load(self) -> None:
        from ldclient import Config, Context, LDClient
        from ldclient.integrations import Files

        operators = {"equals": "in", "in": "in", "greater_than": "greaterThan", "starts_with": "startsWith"}
        flags = {}
        for flag in FLAGS:
            values: list[Any] = [True, False] if flag.kind == BOOLEAN else list(flag.variants)
            rollout = [{"variation": number, "weight": weight * 10} for number, (_, weight) in enumerate(flag.split)]
            flags[flag.key] = {
                "key": flag.key,
                "on": True,
                "version": 1,
                "salt": f"salt-{flag.key}",
                "variations": values,
                "offVariation": len(values) - 1,
                "prerequisites": [],
                "targets": [],
                "fallthrough": {"variation": 0} if flag.kind == RULED else {"rollout": {"variations": rollout}},
                "rules": [
                    {
                        "id": f"rule-{number}",
                        "variation": flag.variants.index(variant),
                        "clauses": [
                            {
                                "attribute": attribute,
                                "op": operators[how],
                                "negate": False,
                                "values": value if isinstance(value, list) else [value],
                            }
                            for attribute, how, value in rule
                        ],
                    }
                    for number, (rule, variant) in enumerate(flag.rules)
                ],
            }
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"flags": flags}, file)
            file.flush()
            source = Files.new_data_source(paths=[file.name])
            self.client = LDClient(Config("sdk-key", update_processor_class=source, send_events=False))
            assert self.client.is_initialized()
        self.context_type = Context

    def context(self, user: str, attributes: dict[str, Any]) -> Any:
        builder = self.context_type.builder(user)
        for name, value in attributes.items():
            builder.set(name, value)
        return builder.build()

    def ask(self, key: str, context: Any) -> Any:
        return self.client.variation(key, context, None)

    def loops(self) -> dict[str, Loop]:
        client = self.client

        def single(key: str, default: Any) -> Loop:
            def run(contexts: Sequence[Any]) -> None:
                evaluate = client.variation_detail
                for context in contexts:
                    evaluate(key, context, default)

            return run

        def everything(contexts: Sequence[Any]) -> None:
            for context in contexts:
                client.all_flags_state(context, with_reasons=True)

        return {"W1": single("w1", False), "W2": single("w2", "control"), "W3": single("w3", "a"), "W4": everything}
