/** Builds the package twice: `dist/esm` and `dist/cjs`, each with its declarations. */

import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");

rmSync(join(root, "dist"), { recursive: true, force: true });
compile(root, "module", "dist/esm");

// The compiler makes of a file what the nearest package.json says: CommonJS needs another place.
const copy = join(root, "build", "cjs");
rmSync(copy, { recursive: true, force: true });
mkdirSync(copy, { recursive: true });
cpSync(join(root, "src"), join(copy, "src"), { recursive: true });
writePackage(copy, "commonjs");
compile(copy, "commonjs", "dist/cjs");

copyFileSync(join(root, "..", "..", "LICENSE"), join(root, "LICENSE"));

function compile(place, type, target) {
  const config = join(place, `tsconfig.${type}.json`);
  const options = {
    rootDir: "./src",
    outDir: join(root, target),
    declaration: true,
    noEmitOnError: true,
    types: [],
    ...(type === "commonjs" ? { verbatimModuleSyntax: false } : {}),
  };
  const extended = join(root, "tsconfig.json");
  const content = { extends: extended, compilerOptions: options, include: ["./src"] };
  writeFileSync(config, JSON.stringify(content));
  try {
    execFileSync(process.execPath, [compiler, "-p", config], { stdio: "inherit" });
  } finally {
    rmSync(config);
  }
  writePackage(join(root, target), type);
}

function writePackage(folder, type) {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify({ type })}\n`);
}
