/**
 * Runs tests: `node scripts/test.mjs unit [name…]`, or `integration` against a running service; or a
 * program of the tests alone: `program storm`.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const [kind = "unit", ...named] = process.argv.slice(2);

const output = join(root, "build", `tests-${process.pid}`);
const compiled = join(output, "test", kind);
process.on("exit", () => rmSync(output, { recursive: true, force: true }));
execFileSync(process.execPath, [compiler, "-p", root, "--outDir", output], { stdio: "inherit" });
if (kind === "program") {
  const program = join(output, "test", "integration", `${named[0]}.js`);
  process.exit(spawnSync(process.execPath, [program], { stdio: "inherit" }).status ?? 1);
}
const files = readdirSync(compiled)
  .filter((file) => file.endsWith(".test.js"))
  .filter((file) => named.length === 0 || named.includes(file.replace(".test.js", "")))
  .map((file) => join(compiled, file));
const run = ["--test", "--test-reporter=spec", "--test-timeout=120000", ...files];
process.exit(spawnSync(process.execPath, run, { stdio: "inherit" }).status ?? 1);
