// Collects what the pages load into dist/, under names that carry a hash of the content, and writes
// manifest.json (plain name -> hashed name). The server sends hashed names as immutable.
// app.js (htmx and our own) is on every page and is only put together; editor.js, which bundles CodeMirror, is loaded
// by the pages that have a source editor. licences.txt says whose work is inside.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const read = (...path) => readFileSync(join(here, ...path));
const dist = join(here, "dist");
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });

const manifest = {};
function put(name, bytes) {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const dot = name.lastIndexOf(".");
  const hashed = `${name.slice(0, dot)}.${hash}${name.slice(dot)}`;
  writeFileSync(join(dist, hashed), bytes);
  manifest[name] = hashed;
  return hashed;
}

const fontDir = ["node_modules", "@fontsource-variable", "public-sans", "files"];
const font = put("public-sans.woff2", read(...fontDir, "public-sans-latin-wght-normal.woff2"));
const fontExt = put("public-sans-ext.woff2", read(...fontDir, "public-sans-latin-ext-wght-normal.woff2"));

const css = read("src", "app.css").toString()
  .replaceAll("public-sans-ext.woff2", fontExt)
  .replaceAll("public-sans.woff2", font);
put("app.css", Buffer.from(css));

const scripts = [
  read("node_modules", "htmx.org", "dist", "htmx.min.js").toString().replace(/\/\/# sourceMappingURL=.*$/m, ""),
  read("node_modules", "htmx.org", "dist", "ext", "hx-sse.min.js").toString().replace(/\/\/# sourceMappingURL=.*$/m, ""),
  read("src", "app.js").toString(),
];
put("app.js", Buffer.from(scripts.join("\n;\n")));
put("mark.svg", read("src", "mark.svg"));

const bundle = await build({
  absWorkingDir: here,
  entryPoints: [join("src", "editor.js")],
  bundle: true,
  minify: true,
  metafile: true,
  write: false,
  format: "iife",
  target: ["chrome111", "firefox113", "safari16.4"],
  // esbuild says on standard error what it warns about; a warning here is a mistake.
  logLevel: "warning",
});
put("editor.js", bundle.outputFiles[0].contents);
put("licences.txt", licences(Object.keys(bundle.metafile.inputs)));

// The licence text of every package of which something is in dist/: their licences ask for that.
function licences(inputs) {
  const names = new Set(["htmx.org", "@fontsource-variable/public-sans"]);
  for (const input of inputs) {
    const name = input.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1];
    if (name) names.add(name);
  }
  const texts = [...names].sort().map((name) => {
    const folder = join(here, "node_modules", ...name.split("/"));
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json")));
    const file = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
    if (!file) throw new Error(`${name} has no licence file`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file)).toString().trim()}\n`;
  });
  return Buffer.from(texts.join(`\n${"-".repeat(72)}\n\n`));
}

writeFileSync(join(dist, "manifest.json"), JSON.stringify(manifest, null, 2) + "\n");
