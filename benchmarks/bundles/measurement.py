"""Weighs a page's bundle with our browser SDK, and with those of others; rewrites its section of RESULTS.md.

Needs Node and npm. Each entry is what a page says to ask one boolean flag, bundled and minified by esbuild.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
from pathlib import Path

from benchmarks.world import report
from sdk.conformance.javascript import SDK, build

_FOLDER = Path(__file__).parent
_MOST_BYTES = 4_096
_OURS = "openflagship-web"
# What a page says, by the packages that it has then; `%s` is where ours is built.
_PAGES = {
    _OURS: """import { FlagShip } from "%s";
const flags = new FlagShip("key", "https://flags.example.com", { context: { targetingKey: "user-1" } });
await flags.ready();
console.log(flags.isEnabled("new-checkout"));""",
    "@openfeature/web-sdk + @openfeature/ofrep-web-provider": """import { OpenFeature } from "@openfeature/web-sdk";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
await OpenFeature.setContext({ targetingKey: "user-1" });
await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl: "https://flags.example.com" }));
console.log(OpenFeature.getClient().getBooleanValue("new-checkout", false));""",
    "@growthbook/growthbook": """import { GrowthBook } from "@growthbook/growthbook";
const flags = new GrowthBook({ apiHost: "https://flags.example.com", clientKey: "key", attributes: { id: "user-1" } });
await flags.init({ streaming: true });
console.log(flags.isOn("new-checkout"));""",
    "unleash-proxy-client": """import { UnleashClient } from "unleash-proxy-client";
const flags = new UnleashClient({ url: "https://flags.example.com", clientKey: "key", appName: "shop" });
await flags.start();
console.log(flags.isEnabled("new-checkout"));""",
    "launchdarkly-js-client-sdk": """import { initialize } from "launchdarkly-js-client-sdk";
const flags = initialize("key", { kind: "user", key: "user-1" });
await flags.waitForInitialization(5);
console.log(flags.variation("new-checkout", false));""",
    "@launchdarkly/js-client-sdk": """import { createClient } from "@launchdarkly/js-client-sdk";
const flags = createClient("key", { kind: "user", key: "user-1" });
await flags.start();
console.log(flags.variation("new-checkout", false));""",
}


def weigh(page: str) -> tuple[int, int]:
    """Bytes of the bundle, minified, and of that packed by gzip."""
    esbuild = SDK / "node_modules" / ".bin" / "esbuild"
    how = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--platform=browser", "--log-level=error"]
    done = subprocess.run([esbuild, *how], cwd=_FOLDER, input=page.encode(), capture_output=True, check=True)
    return len(done.stdout), len(gzip.compress(done.stdout, 9, mtime=0))


def lines_of(sizes: dict[str, tuple[int, int]]) -> list[str]:
    versions = json.loads((_FOLDER / "package.json").read_text())["dependencies"]
    lines = [
        "## Browser bundles",
        "",
        "`python -m benchmarks.bundles`: a page that asks one boolean flag, bundled and minified by esbuild for "
        "browsers (ES2022, ES module), packed by gzip at level 9. Everything is in it that the page loads.",
        "",
        "| package | minified | gzip |",
        "|---|---|---|",
    ]
    for name, (plain, packed) in sizes.items():
        title = " + ".join(f"{one} {versions[one]}" if one in versions else one for one in name.split(" + "))
        lines.append(f"| {title} | {plain:,} B | {packed:,} B |")
    packed = {name: size for name, (_, size) in sizes.items()}
    promises = {
        f"at most {_MOST_BYTES:,} B": packed[_OURS] <= _MOST_BYTES,
        "less than each other": packed[_OURS] < min(size for name, size in packed.items() if name != _OURS),
    }
    lines += ["", "| promise | met |", "|---|---|"]
    return lines + [f"| {words} | {'yes' if is_met else '**no**'} |" for words, is_met in promises.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md alone")
    arguments = parser.parse_args()
    build()
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=_FOLDER, check=True)
    ours = str(SDK / "web" / "dist" / "index.js")
    lines = lines_of({name: weigh(page.replace("%s", ours)) for name, page in _PAGES.items()})
    if arguments.print:
        print("\n".join(lines))
    else:
        report("bundles", lines)
    return 0
