"""The rivals that interpret their rules on every call; see `engine_rivals`."""

# ruff: noqa: PLC0415 a rival can be imported only where it is installed

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from benchmarks.engine.rivals import Engine, Loop
from benchmarks.engine.workload import BOOLEAN, FLAGS, KINDS, RULE_VARIANTS, RULED, SPLIT


class GrowthBook(Engine):
    name = "growthbook"
    pins = ["growthbook==4.0.0"]
    note = "set_attributes and eval_feature on a shared instance, with the source of the value"

    def load(self) -> None:
        from growthbook import GrowthBook as Client

        features: dict[str, Any] = {}
        for flag in FLAGS:
            hashed = {"id": "r", "seed": flag.key, "hashAttribute": "id", "hashVersion": 2}
            if flag.kind == BOOLEAN:
                features[flag.key] = {"defaultValue": False, "rules": [hashed | {"force": True, "coverage": 0.25}]}
            elif flag.kind == SPLIT:
                split = {
                    "key": flag.key,
                    "coverage": 1,
                    "variations": flag.variants,
                    "weights": [weight / 10_000 for _, weight in flag.split],
                    "meta": [{"key": str(number)} for number in range(3)],
                }
                features[flag.key] = {"defaultValue": "a", "rules": [hashed | split]}
            else:
                rules = [
                    {"id": f"r{number}", "force": variant, "condition": dict(self._condition(*part) for part in rule)}
                    for number, (rule, variant) in enumerate(flag.rules)
                ]
                features[flag.key] = {"defaultValue": "control", "rules": rules}
        self.client = Client(features=features)

    @staticmethod
    def _condition(attribute: str, how: str, value: Any) -> tuple[str, Any]:
        wanted = {"in": {"$in": value}, "greater_than": {"$gt": value}, "starts_with": {"$regex": f"^{value}"}}
        return attribute, wanted.get(how, value)

    def context(self, user: str, attributes: dict[str, Any]) -> Any:
        return {"id": user, **attributes}

    def ask(self, key: str, context: Any) -> Any:
        self.client.set_attributes(context)
        return self.client.eval_feature(key).value

    def loops(self) -> dict[str, Loop]:
        client = self.client

        def single(key: str) -> Loop:
            def run(contexts: Sequence[Any]) -> None:
                for context in contexts:
                    client.set_attributes(context)
                    client.eval_feature(key)

            return run

        def everything(contexts: Sequence[Any]) -> None:
            for context in contexts:
                client.set_attributes(context)
                for key in KINDS:
                    client.eval_feature(key)

        return {"W1": single("w1"), "W2": single("w2"), "W3": single("w3"), "W4": everything}


class PostHog(Engine):
    name = "posthog"
    pins = ["posthog==7.91.1"]
    note = "get_feature_flag_result, evaluated locally, with the reason; events off; W4 is get_all_flags"

    def load(self) -> None:
        from posthog import Posthog

        logging.getLogger("posthog").setLevel(logging.CRITICAL)
        operators = {"equals": "exact", "in": "exact", "greater_than": "gt", "starts_with": "starts_with"}
        flags = []
        for number, flag in enumerate(FLAGS):
            filters: dict[str, Any] = {"groups": [], "payloads": {}}
            if flag.kind == BOOLEAN:
                filters["groups"] = [{"properties": [], "rollout_percentage": 25}]
            elif flag.kind == SPLIT:
                filters["groups"] = [{"properties": [], "rollout_percentage": 100}]
                variants = [{"key": key, "rollout_percentage": weight / 100} for key, weight in flag.split]
                filters["multivariate"] = {"variants": variants}
            else:
                variants = [{"key": key, "rollout_percentage": 100 if key == "control" else 0} for key in RULE_VARIANTS]
                filters["multivariate"] = {"variants": variants}
                for rule, variant in flag.rules:
                    properties = [
                        {
                            "key": attribute,
                            "operator": operators[how],
                            "value": str(value) if how == "greater_than" else value,
                            "type": "person",
                        }
                        for attribute, how, value in rule
                    ]
                    filters["groups"].append({"rollout_percentage": 100, "variant": variant, "properties": properties})
            flags.append({"id": number, "key": flag.key, "name": "", "active": True, "filters": filters, "version": 1})
        self.client = Posthog("phc_none", host="http://localhost:1", send=False)
        self.client.feature_flags = flags

    def context(self, user: str, attributes: dict[str, Any]) -> Any:
        return user, dict(attributes)

    def ask(self, key: str, context: Any) -> Any:
        return self._result(key, context).get_value()

    def _result(self, key: str, context: Any) -> Any:
        user, properties = context
        return self.client.get_feature_flag_result(
            key, user, person_properties=properties, only_evaluate_locally=True, send_feature_flag_events=False
        )

    def loops(self) -> dict[str, Loop]:
        client = self.client

        def single(key: str) -> Loop:
            def run(contexts: Sequence[Any]) -> None:
                evaluate = client.get_feature_flag_result
                for user, properties in contexts:
                    evaluate(
                        key,
                        user,
                        person_properties=properties,
                        only_evaluate_locally=True,
                        send_feature_flag_events=False,
                    )

            return run

        def everything(contexts: Sequence[Any]) -> None:
            for user, properties in contexts:
                client.get_all_flags(user, person_properties=properties, only_evaluate_locally=True)

        return {"W1": single("w1"), "W2": single("w2"), "W3": single("w3"), "W4": everything}


class Flagsmith(Engine):
    name = "flagsmith"
    pins = ["flagsmith==6.3.0", "flagsmith-flag-engine==11.1.1"]
    note = "offline; get_identity_flags and get_flag, with the reason; rules are segments, all evaluated; analytics off"

    def load(self) -> None:
        from flagsmith import Flagsmith as Client

        operators = {"equals": "EQUAL", "in": "IN", "greater_than": "GREATER_THAN", "starts_with": "REGEX"}
        states, segments = [], []
        for number, flag in enumerate(FLAGS):
            feature = {"id": number + 1, "name": flag.key, "type": "STANDARD"}

            def state(
                enabled: bool, value: str, state_id: int, feature: dict[str, Any] = feature, **more: Any
            ) -> dict[str, Any]:
                return {
                    "feature": feature,
                    "enabled": enabled,
                    "feature_state_value": value,
                    "django_id": state_id,
                    "featurestate_uuid": f"00000000-0000-0000-0000-{state_id:012d}",
                    "multivariate_feature_state_values": [],
                    **more,
                }

            base = state(flag.kind != BOOLEAN, flag.split[0][0], number + 1)
            if flag.kind == SPLIT:
                base["multivariate_feature_state_values"] = [
                    {
                        "id": number * 10 + place,
                        "percentage_allocation": weight / 100,
                        "mv_fs_value_uuid": f"u{number}-{place}",
                        "multivariate_feature_option": {"value": key, "key": key},
                    }
                    for place, (key, weight) in enumerate(flag.split)
                    if place
                ]
            states.append(base)
            rules: list[tuple[list[Any], str]] = [(list(rule), variant) for rule, variant in flag.rules]
            if flag.kind == BOOLEAN:
                rules = [([("", "percentage", "25")], "on")]
            for place, (rule, variant) in enumerate(rules):
                conditions = []
                for attribute, how, value in rule:
                    wanted = f"^{value}" if how == "starts_with" else str(value)
                    conditions.append(
                        {
                            "operator": operators.get(how, "PERCENTAGE_SPLIT"),
                            "property_": attribute,
                            "value": ",".join(value) if isinstance(value, list) else wanted,
                        }
                    )
                segment_id = 100_000 + number * 20 + place
                segments.append(
                    {
                        "id": segment_id,
                        "name": f"segment-{segment_id}",
                        "rules": [{"type": "ALL", "rules": [], "conditions": conditions}],
                        "feature_states": [state(True, variant, segment_id, feature_segment={"priority": place})],
                    }
                )
        document = {
            "api_key": "none",
            "name": "bench",
            "feature_states": states,
            "identity_overrides": [],
            "updated_at": "2026-01-01T00:00:00+00:00",
            "project": {"segments": segments},
        }

        class Offline:
            def get_environment(self) -> dict[str, Any]:
                return document

        self.client = Client(offline_mode=True, offline_handler=Offline())

    def context(self, user: str, attributes: dict[str, Any]) -> Any:
        return user, dict(attributes)

    def ask(self, key: str, context: Any) -> Any:
        flags = self.client.get_identity_flags(*context)
        return flags.is_feature_enabled(key) if KINDS[key] == BOOLEAN else flags.get_feature_value(key)

    def loops(self) -> dict[str, Loop]:
        client = self.client

        def single(key: str) -> Loop:
            def run(contexts: Sequence[Any]) -> None:
                for user, traits in contexts:
                    client.get_identity_flags(user, traits).get_flag(key)

            return run

        def everything(contexts: Sequence[Any]) -> None:
            for user, traits in contexts:
                client.get_identity_flags(user, traits).all_flags()

        return {"W1": single("w1"), "W2": single("w2"), "W3": single("w3"), "W4": everything}


class Flagd(Engine):
    name = "flagd core"
    pins = [
        "openfeature-provider-flagd==0.6.1",
        "openfeature-sdk==0.10.0",
        "openfeature-flagd-core==2.0.0",
        "panzi-json-logic==1.0.1",
    ]
    note = "the in-process evaluator called directly, without the OpenFeature client; full resolution details"

    def load(self) -> None:
        from openfeature.contrib.tools.flagd.core import FlagdCore
        from openfeature.evaluation_context import EvaluationContext

        operators = {"equals": "==", "in": "in", "greater_than": ">", "starts_with": "starts_with"}
        flags: dict[str, Any] = {}
        for flag in FLAGS:
            values = {key: key == "on" if flag.kind == BOOLEAN else key for key in flag.variants}
            targeting: dict[str, Any]
            if flag.kind == RULED:
                steps: list[Any] = []
                for rule, variant in flag.rules:
                    tests = [{operators[how]: [{"var": attribute}, value]} for attribute, how, value in rule]
                    steps += [{"and": tests}, variant]
                targeting = {"if": [*steps, "control"]}
            else:
                targeting = {"fractional": [[key, weight // 100] for key, weight in flag.split]}
            default = "off" if flag.kind == BOOLEAN else flag.variants[0]
            flags[flag.key] = {
                "state": "ENABLED",
                "variants": values,
                "defaultVariant": default,
                "targeting": targeting,
            }
        core = FlagdCore()
        core.set_flags(json.dumps({"flags": flags}))
        self.boolean, self.text = core.resolve_boolean_value, core.resolve_string_value
        self.context_type = EvaluationContext

    def context(self, user: str, attributes: dict[str, Any]) -> Any:
        return self.context_type(targeting_key=user, attributes=dict(attributes))

    def ask(self, key: str, context: Any) -> Any:
        found = self.boolean(key, False, context) if KINDS[key] == BOOLEAN else self.text(key, "none", context)
        return found.value

    def loops(self) -> dict[str, Loop]:
        boolean, text = self.boolean, self.text

        def single(method: Any, key: str, default: Any) -> Loop:
            def run(contexts: Sequence[Any]) -> None:
                for context in contexts:
                    method(key, default, context)

            return run

        def everything(contexts: Sequence[Any]) -> None:
            for context in contexts:
                for key, kind in KINDS.items():
                    if kind == BOOLEAN:
                        boolean(key, False, context)
                    else:
                        text(key, "a", context)

        loops = {"W1": single(boolean, "w1", False), "W2": single(text, "w2", "control")}
        return {**loops, "W3": single(text, "w3", "a"), "W4": everything}
