"""Snippets of code that ask for a flag. Each runs as it stands once a key is in the environment."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from flags.models import Flag, FlagConfig, Rule
from flags.selectors import conditions_in

_MOST_ATTRIBUTES = 4
_USER = "alice"
_OPENFEATURE_TYPES = {"boolean": "boolean", "string": "string", "number": "float", "json": "object"}
_OFREP_TYPES = {"boolean": "Boolean", "string": "String", "number": "Number", "json": "Object"}


@dataclass(frozen=True, slots=True)
class Snippet:
    """A text to copy. `needs` is what has to be installed or set first."""

    id: str
    name: str
    needs: str
    text: str


def snippets_for(config: FlagConfig, *, base_url: str | None = None) -> list[Snippet]:
    """Return snippets with the flag's key, the type of its values, its off value and attributes of its rules."""
    base_url = base_url or settings.BASE_URL
    flag, attributes = config.flag, sample_attributes(list(config.rules.all()))
    values = {variant["key"]: variant["value"] for variant in flag.variants}
    default = values.get(config.off_variant)
    where = repr(base_url)
    server_key = "the package openflagship, and a server key in FLAGSHIP_SERVER_KEY"
    context = {"targetingKey": _USER, **attributes}
    asked = {"flagKey": flag.key, "userId": _USER, "attributes": attributes}
    return [
        Snippet("python", "Python", server_key, _python(flag, where, attributes, default)),
        Snippet("python-async", "Python, asyncio", server_key, _asyncio(flag, where, attributes, default)),
        Snippet(
            "openfeature",
            "Python, OpenFeature",
            f"openflagship[openfeature]: {server_key}",
            _openfeature(flag, where, attributes, default),
        ),
        Snippet("node", "Node", server_key, _node(flag, base_url, attributes, default)),
        Snippet(
            "go",
            "Go",
            "the module openflagship, and a server key in FLAGSHIP_SERVER_KEY",
            _go(flag, base_url, attributes, default),
        ),
        Snippet(
            "browser",
            "Browser",
            "the package openflagship-web; a client key, which may be public",
            _browser(flag, base_url, context, default),
        ),
        Snippet(
            "javascript-web",
            "JavaScript, web, OpenFeature",
            "@openfeature/web-sdk and @openfeature/ofrep-web-provider; a client key, which may be public",
            _web(flag, base_url, context, default),
        ),
        Snippet(
            "javascript-server",
            "JavaScript, server, OpenFeature",
            "@openfeature/server-sdk and @openfeature/ofrep-provider; a key in FLAGSHIP_SERVER_KEY",
            _ofrep(flag, base_url, context, default),
        ),
        Snippet("curl", "curl", "a server key in FLAGSHIP_SERVER_KEY", _curl(base_url, asked)),
        Snippet(
            "django",
            "Django template",
            "openflagship.django in INSTALLED_APPS, its middleware, and OPENFLAGSHIP in the settings",
            _django(flag),
        ),
    ]


def sample_attributes(rules: list[Rule]) -> dict[str, Any]:
    """Return each attribute that the rules ask for with a value, or a country if they ask for none."""
    found: dict[str, Any] = {}
    for rule in rules:
        for condition in conditions_in(rule.conditions):
            name, value = condition.get("attribute"), condition.get("value")
            first = value[0] if isinstance(value, list) and value else value
            if name and name != "userId" and isinstance(first, (str, int, float)):
                found.setdefault(name, first)
    return dict(list(found.items())[:_MOST_ATTRIBUTES]) or {"country": "US"}


def _python(flag: Flag, where: str, attributes: dict[str, Any], default: Any) -> str:
    return f"""import os

from openflagship import FlagShip

client = FlagShip(os.environ["FLAGSHIP_SERVER_KEY"], {where})
{_asking(flag, attributes, default)}
client.close()
"""


def _asyncio(flag: Flag, where: str, attributes: dict[str, Any], default: Any) -> str:
    return f"""import asyncio
import os

from openflagship import AsyncFlagShip


async def main():
    async with AsyncFlagShip(os.environ["FLAGSHIP_SERVER_KEY"], {where}) as client:
        {_asking(flag, attributes, default)}


asyncio.run(main())
"""


def _asking(flag: Flag, attributes: dict[str, Any], default: Any) -> str:
    if flag.type == Flag.Type.BOOLEAN:
        return f"print(client.is_enabled({flag.key!r}, {_USER!r}, {attributes!r}))"
    return f"print(client.variation({flag.key!r}, { ({'userId': _USER, **attributes})!r}, {default!r}))"


def _openfeature(flag: Flag, where: str, attributes: dict[str, Any], default: Any) -> str:
    fallback = float(default) if flag.type == Flag.Type.NUMBER and default is not None else default
    return f"""import os

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openflagship import FlagShip
from openflagship.openfeature import FlagShipProvider

api.set_provider_and_wait(FlagShipProvider(FlagShip(os.environ["FLAGSHIP_SERVER_KEY"], {where})))
user = EvaluationContext({_USER!r}, {attributes!r})
print(api.get_client().get_{_OPENFEATURE_TYPES[flag.type]}_value({flag.key!r}, {fallback!r}, user))
api.shutdown()
"""


def _node(flag: Flag, base_url: str, attributes: dict[str, Any], default: Any) -> str:
    user = json.dumps({"userId": _USER, **attributes})
    return f"""import {{ FlagShip }} from "openflagship";

const client = new FlagShip(process.env.FLAGSHIP_SERVER_KEY, {json.dumps(base_url)});
await client.ready();
console.log(client.get{_OFREP_TYPES[flag.type]}Value({json.dumps(flag.key)}, {json.dumps(default)}, {user}));
await client.close();
"""


_GO_ASKING = {"boolean": "BoolValue", "string": "StringValue", "number": "NumberValue", "json": "JSONValue"}


def _go_value(value: Any) -> str:
    # Go knows no halves of surrogate pairs.
    return json.dumps(value, ensure_ascii=False)


def _go(flag: Flag, base_url: str, attributes: dict[str, Any], default: Any) -> str:
    members = ", ".join(f"{_go_value(name)}: {_go_value(value)}" for name, value in attributes.items())
    otherwise = "nil" if flag.type == Flag.Type.JSON else _go_value(default)
    return f"""package main

import (
	"context"
	"encoding/json"
	"os"

	"openflagship"
)

func main() {{
	ctx := context.Background()
	client, err := openflagship.New(os.Getenv("FLAGSHIP_SERVER_KEY"), {_go_value(base_url)}, openflagship.Options{{}})
	if err != nil {{
		panic(err)
	}}
	defer client.Close(ctx)
	client.Ready(ctx)
	user := openflagship.User{{ID: {_go_value(_USER)}, Attributes: map[string]any{{{members}}}}}
	json.NewEncoder(os.Stdout).Encode(client.{_GO_ASKING[flag.type]}({_go_value(flag.key)}, user, {otherwise}))
}}
"""


def _browser(flag: Flag, base_url: str, context: dict[str, Any], default: Any) -> str:
    return f"""import {{ FlagShip }} from "openflagship-web";

const flags = new FlagShip(clientKey, {json.dumps(base_url)}, {{ context: {json.dumps(context)} }});
await flags.ready();
console.log(flags.getValue({json.dumps(flag.key)}, {json.dumps(default)}));
"""


def _web(flag: Flag, base_url: str, context: dict[str, Any], default: Any) -> str:
    return f"""import {{ OpenFeature }} from "@openfeature/web-sdk";
import {{ OFREPWebProvider }} from "@openfeature/ofrep-web-provider";

const headers = [["Authorization", "Bearer " + clientKey]];
await OpenFeature.setContext({json.dumps(context)});
await OpenFeature.setProviderAndWait(new OFREPWebProvider({{ baseUrl: {json.dumps(base_url)}, headers }}));
console.log(OpenFeature.getClient().get{_OFREP_TYPES[flag.type]}Value({json.dumps(flag.key)}, {json.dumps(default)}));
"""


def _ofrep(flag: Flag, base_url: str, context: dict[str, Any], default: Any) -> str:
    return f"""import {{ OpenFeature }} from "@openfeature/server-sdk";
import {{ OFREPProvider }} from "@openfeature/ofrep-provider";

const headers = [["Authorization", "Bearer " + process.env.FLAGSHIP_SERVER_KEY]];
await OpenFeature.setProviderAndWait(new OFREPProvider({{ baseUrl: {json.dumps(base_url)}, headers }}));
const client = OpenFeature.getClient();
const user = {json.dumps(context)};
console.log(await client.get{_OFREP_TYPES[flag.type]}Value({json.dumps(flag.key)}, {json.dumps(default)}, user));
await OpenFeature.close();
"""


def _curl(base_url: str, asked: dict[str, Any]) -> str:
    return f"""curl -s {shlex.quote(base_url + "/api/flags/evaluate")} \\
  -H "Authorization: Bearer $FLAGSHIP_SERVER_KEY" -H "Content-Type: application/json" \\
  -d {shlex.quote(json.dumps(asked))}
"""


def _django(flag: Flag) -> str:
    if flag.type == Flag.Type.BOOLEAN:
        return f'{{% load flags %}}{{% flag "{flag.key}" as is_on %}}{{% if is_on %}}on{{% else %}}off{{% endif %}}\n'
    return f'{{% load flags %}}{{% flag "{flag.key}" default="" as answer %}}{{{{ answer }}}}\n'
