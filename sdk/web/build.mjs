// Builds dist/: each entry in one small file, as an ES module and for `require`, with source maps; types with --types.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const here = new URL(".", import.meta.url).pathname;

const shared = {
  absWorkingDir: here,
  entryPoints: ["src/index.ts", "src/openfeature.ts"],
  outdir: "dist",
  bundle: true,
  minify: true,
  // Private members stay as they are: browsers know them.
  target: "es2022",
  sourcemap: true,
  logLevel: "warning",
};

rmSync(`${here}dist`, { recursive: true, force: true });
await Promise.all([
  build({ ...shared, format: "esm" }),
  build({ ...shared, format: "cjs", outExtension: { ".js": ".cjs" } }),
]);

if (process.argv.includes("--types")) {
  execFileSync("npx", ["--no-install", "tsc", "-p", "."], { cwd: here, stdio: "inherit" });
  // A CommonJS importer needs declarations of its own kind.
  for (const name of readdirSync(`${here}dist`)) {
    if (!name.endsWith(".d.ts")) continue;
    const text = readFileSync(`${here}dist/${name}`, "utf8");
    writeFileSync(`${here}dist/${name.replace(/\.d\.ts$/, ".d.cts")}`, text.replace(/"(\.\/[^"]+)\.js"/g, '"$1.cjs"'));
  }
}
