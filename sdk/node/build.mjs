// Builds dist/: ESM and CommonJS with source maps by esbuild, types for both by TypeScript (with --types).

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const ENTRIES = ["engine"];
const here = new URL(".", import.meta.url).pathname;

const shared = {
  absWorkingDir: here,
  entryPoints: Object.fromEntries(ENTRIES.map((name) => [name, `src/${name}.ts`])),
  outdir: "dist",
  bundle: true,
  platform: "node",
  target: "node20",
  packages: "external",
  sourcemap: true,
  sourcesContent: false,
  logLevel: "warning",
};

rmSync(`${here}dist`, { recursive: true, force: true });
await Promise.all([
  build({ ...shared, format: "esm", splitting: true }),
  build({
    ...shared,
    format: "cjs",
    outExtension: { ".js": ".cjs" },
    // What `createRequire` begins at.
    define: { "import.meta.url": "__filename" },
    logOverride: { "empty-import-meta": "silent" },
  }),
]);

if (process.argv.includes("--types")) {
  execFileSync("npx", ["--no-install", "tsc", "-p", "tsconfig.json"], { cwd: here, stdio: "inherit" });
  // A CommonJS importer needs declarations of its own kind.
  for (const file of readdirSync(`${here}dist/types`, { recursive: true })) {
    if (!file.endsWith(".d.ts")) continue;
    const text = readFileSync(`${here}dist/types/${file}`, "utf8");
    const asCommonJs = text.replace(/(from |import\()"(\.{1,2}\/[^"]+)\.js"/g, '$1"$2.cjs"');
    writeFileSync(`${here}dist/types/${file.replace(/\.d\.ts$/, ".d.cts")}`, asCommonJs);
  }
}
