"""The rivals with something in between: JSON and ctypes, a cache, an older generation; see `engine_rivals`."""

# ruff: noqa: PLC0415 a rival can be imported only where it is installed

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from typing import Any

from benchmarks.engine.rivals import Engine, Loop
from benchmarks.engine.statsig_specs import legacy_specs
from benchmarks.engine.workload import BOOLEAN, FLAGS, KINDS, SPLIT


class Unleash(Engine):
    name = "unleash"
    pins = ["UnleashClient==6.9.1", "yggdrasil-engine==2.0.0"]
    note = "Rust core behind JSON and ctypes; is_enabled, get_variant; counts every call, which cannot be switched off"

    def load(self) -> None:
        from UnleashClient import UnleashClient
        from UnleashClient.cache import FileCache

        operators = {"equals": "IN", "in": "IN", "greater_than": "NUM_GT", "starts_with": "STR_STARTS_WITH"}

        def strategy(flag_key: str, percentage: int, variants: list[Any], constraints: list[Any]) -> dict[str, Any]:
            return {
                "name": "flexibleRollout",
                "constraints": constraints,
                "variants": variants,
                "parameters": {"rollout": str(percentage), "stickiness": "userId", "groupId": flag_key},
            }

        def variant_of(name: str, weight: int) -> dict[str, Any]:
            payload = {"type": "string", "value": name}
            return {"name": name, "weight": weight, "weightType": "fix", "stickiness": "userId", "payload": payload}

        features = []
        for flag in FLAGS:
            if flag.kind == BOOLEAN:
                strategies = [strategy(flag.key, 25, [], [])]
            elif flag.kind == SPLIT:
                variants = [variant_of(key, weight // 10) for key, weight in flag.split]
                strategies = [strategy(flag.key, 100, variants, [])]
            else:
                strategies = []
                for rule, variant in flag.rules:
                    constraints = []
                    for attribute, how, value in rule:
                        constraint: dict[str, Any] = {"contextName": attribute, "operator": operators[how]}
                        constraint |= {"inverted": False, "caseInsensitive": False}
                        if how == "greater_than":
                            constraint["value"] = str(value)
                        else:
                            constraint["values"] = value if isinstance(value, list) else [value]
                        constraints.append(constraint)
                    strategies.append(strategy(flag.key, 100, [variant_of(variant, 1000)], constraints))
            feature = {"name": flag.key, "type": "release", "enabled": True, "project": "default", "variants": []}
            features.append(feature | {"strategies": strategies})
        cache = FileCache("bench", directory=tempfile.mkdtemp())
        cache.bootstrap_from_dict({"version": 2, "features": features})
        self.client = UnleashClient(
            "http://localhost:1/api",
            "bench",
            cache=cache,
            disable_metrics=True,
            disable_registration=True,
            refresh_interval=3600,
        )
        self.client.initialize_client(fetch_toggles=False)

    def context(self, user: str, attributes: dict[str, Any]) -> Any:
        return {"userId": user, "properties": dict(attributes)}

    def ask(self, key: str, context: Any) -> Any:
        if KINDS[key] == BOOLEAN:
            return self.client.is_enabled(key, context)
        return self.client.get_variant(key, context)["name"]

    def loops(self) -> dict[str, Loop]:
        client = self.client

        def single(method: Any, key: str) -> Loop:
            def run(contexts: Sequence[Any]) -> None:
                for context in contexts:
                    method(key, context)

            return run

        def everything(contexts: Sequence[Any]) -> None:
            for context in contexts:
                for key, kind in KINDS.items():
                    if kind == BOOLEAN:
                        client.is_enabled(key, context)
                    else:
                        client.get_variant(key, context)

        loops = {"W1": single(client.is_enabled, "w1"), "W2": single(client.get_variant, "w2")}
        return {**loops, "W3": single(client.get_variant, "w3"), "W4": everything}


class Waffle(Engine):
    name = "django-waffle"
    pins = ["django-waffle==5.0.0", "Django==5.2.19"]
    note = "flag_is_active, 25 percent, from the cache in memory; draws at random per request, no rules, no variants"
    has_details = False
    workloads = ("W1", "W4")

    def load(self) -> None:
        import django
        from django.conf import settings
        from django.core.management import call_command

        memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}
        settings.configure(
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "waffle"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            CACHES={"default": memory | {"TIMEOUT": None}},
            USE_TZ=True,
            DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        )
        django.setup()
        import waffle
        from django.contrib.auth.models import AnonymousUser
        from django.http import HttpRequest
        from waffle.models import Flag

        call_command("migrate", verbosity=0)
        Flag.objects.bulk_create([Flag(name=key, percent=25, superusers=False) for key in KINDS])
        self.is_active, self.request_type, self.anonymous = waffle.flag_is_active, HttpRequest, AnonymousUser()

    def context(self, user: str, attributes: dict[str, Any]) -> Any:  # noqa: ARG002 it draws, and asks for nobody
        request = self.request_type()
        request.user = self.anonymous
        return request

    def ask(self, key: str, context: Any) -> Any:
        context.waffles = {}
        return self.is_active(context, key)

    def loops(self) -> dict[str, Loop]:
        is_active = self.is_active

        def single(contexts: Sequence[Any]) -> None:
            for request in contexts:
                # What it decided for a request it remembers there.
                request.waffles = {}
                is_active(request, "w1")

        def everything(contexts: Sequence[Any]) -> None:
            for request in contexts:
                request.waffles = {}
                for key in KINDS:
                    is_active(request, key)

        return {"W1": single, "W4": everything}


class StatsigLegacy(Engine):
    name = "statsig (pure Python)"
    pins = ["statsig==0.72.1"]
    note = "get_feature_gate and get_config, rule id and details; exposures off"

    def load(self) -> None:
        from statsig import StatsigOptions, StatsigUser
        from statsig.statsig_server import StatsigServer

        self.client = StatsigServer()
        options = StatsigOptions(
            bootstrap_values=json.dumps(legacy_specs()),
            local_mode=True,
            disable_diagnostics=True,
            disable_all_logging=True,
            disable_ua_parser=True,
            disable_country_lookup=True,
        )
        self.client.initialize("secret-key", options)
        self.user_type = StatsigUser

    def context(self, user: str, attributes: dict[str, Any]) -> Any:
        return self.user_type(user_id=user, custom=attributes)

    def ask(self, key: str, context: Any) -> Any:
        if KINDS[key] == BOOLEAN:
            return self.client.get_feature_gate(context, key, log_exposure=False).value
        return self.client.get_config(context, key, log_exposure=False).value["variant"]

    def loops(self) -> dict[str, Loop]:
        gate, config = self.client.get_feature_gate, self.client.get_config

        def single(method: Any, key: str) -> Loop:
            def run(contexts: Sequence[Any]) -> None:
                for context in contexts:
                    method(context, key, log_exposure=False)

            return run

        def everything(contexts: Sequence[Any]) -> None:
            for context in contexts:
                for key, kind in KINDS.items():
                    (gate if kind == BOOLEAN else config)(context, key, log_exposure=False)

        return {"W1": single(gate, "w1"), "W2": single(config, "w2"), "W3": single(config, "w3"), "W4": everything}
