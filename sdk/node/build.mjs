// Builds dist/esm and dist/cjs with source maps by esbuild, and with --types the declarations of both by TypeScript.
//
// Files stay apart, so that the package's entries share what they import in either form.

import { execFileSync } from "node:child_process";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const here = new URL(".", import.meta.url).pathname;
const sources = readdirSync(`${here}src`, { recursive: true }).filter((name) => name.endsWith(".ts"));

const shared = {
  absWorkingDir: here,
  entryPoints: sources.map((name) => `src/${name}`),
  outbase: "src",
  platform: "node",
  target: "node20",
  sourcemap: true,
  sourcesContent: false,
  logLevel: "warning",
};

rmSync(`${here}dist`, { recursive: true, force: true });
await Promise.all([
  build({ ...shared, format: "esm", outdir: "dist/esm" }),
  // What `createRequire` begins at.
  build({ ...shared, format: "cjs", outdir: "dist/cjs", define: { "import.meta.url": "__filename" } }),
]);
writeFileSync(`${here}dist/cjs/package.json`, '{ "type": "commonjs" }\n');

if (process.argv.includes("--types")) {
  for (const form of ["esm", "cjs"]) {
    execFileSync("npx", ["--no-install", "tsc", "-p", ".", "--outDir", `dist/${form}`], {
      cwd: here,
      stdio: "inherit",
    });
  }
}
