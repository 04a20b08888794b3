// Collects what the pages load into dist/, under names that carry a hash of the content, and writes
// manifest.json (plain name -> hashed name). The server sends hashed names as immutable.
// There is no bundler: two published files of htmx, our script and our style sheet are all there is.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

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

writeFileSync(join(dist, "manifest.json"), JSON.stringify(manifest, null, 2) + "\n");
