// Starts `mailwright demo` for a test, and a Chromium that knows how to look at it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const shots = join(root, "target", "screenshots");
mkdirSync(shots, { recursive: true });

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

async function freePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

// The demo as its own process, with a data folder of its own. Answers its address and how to sign in.
export async function startDemo() {
  const folder = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  const program = process.env.MAILWRIGHT ?? join(folder, "debug", "mailwright");
  if (!existsSync(program)) throw new Error(`${program} is missing: run cargo build -p mailwright first`);
  const data = mkdtempSync(join(tmpdir(), "mailwright-demo-"));
  const port = await freePort();
  const child = spawn(program, ["demo", "--listen", `127.0.0.1:${port}`, "--data", data], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said = [];
  const ready = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      said.push(line);
      if (line.startsWith("ready ")) resolve();
    });
    child.once("exit", (code) => reject(new Error(`the demo ended with ${code}: ${said.join("\n")}`)));
  });
  await ready;
  const password = said.map((line) => line.match(/password:?\s+(\S+)\s*$/i)?.[1]).find(Boolean);
  const name = said.map((line) => line.match(/^Sign in\s+(\S+)/)?.[1]).find(Boolean) ?? "admin";
  const stop = async () => {
    const ended = child.exitCode !== null ? Promise.resolve() : once(child, "exit");
    child.kill("SIGTERM");
    await ended;
    rmSync(data, { recursive: true, force: true });
  };
  return { url: `http://127.0.0.1:${port}`, name, password, said, stop };
}

// A page that fails the test for what a person would not see: script errors and content that the policy refuses.
export async function openBrowser({ dark = false, width = 1280, height = 900 } = {}) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: dark ? "dark" : "light",
  });
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(`console: ${message.text()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 500) faults.push(`${response.status()} ${response.url()}`);
  });
  const shot = (name) => page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
  return { browser, context, page, faults, shot };
}

// Signs in with the demo's own name and password.
export async function signIn(demo, page) {
  await page.goto(demo.url + "/sign-in", { waitUntil: "load" });
  await page.fill("input[name=name]", demo.name);
  await page.fill("input[name=password]", demo.password);
  await page.click("form[action='/sign-in'] button");
  await page.waitForURL((url) => !url.pathname.startsWith("/sign-in"));
}
