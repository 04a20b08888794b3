// Every act of an operator by its button, and a session that is heard line by line. Two receivers are suspended before
// anything is sent, so that what is acted on waits for certain, however fast the demo sends the rest.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser, signIn, startDemo } from "./demo.mjs";

let demo, operator, delivery;
before(async () => {
  demo = await startDemo();
  operator = await openBrowser();
  await signIn(demo, operator.page);
});
after(async () => {
  await operator?.browser.close();
  await demo?.stop();
});

const PATIENCE = { timeout: 120_000 };

async function open(page, path) {
  const response = await page.goto(demo.url + path, { waitUntil: "load" });
  assert.ok(response.ok(), `${path}: ${response.status()}`);
}

// Waits for the notice that answers an act.
async function told(words) {
  const says = (wanted) => new RegExp(wanted).test(document.querySelector(".notice.ok")?.textContent ?? "");
  await operator.page.waitForFunction(says, words.source, PATIENCE);
}

// Waits for the live part of a receiver's page to say so.
async function stands(words) {
  const says = (wanted) => document.querySelector("#site")?.textContent.includes(wanted);
  await operator.page.waitForFunction(says, words, PATIENCE);
}

// Opens a dialog: by its own button, or out of the menu.
async function ask(id) {
  const { page } = operator;
  const inMenu = await page.locator(`details.menu [data-dialog=${id}]`).count();
  if (inMenu > 0) await page.click("details.menu summary");
  await page.click(`[data-dialog=${id}]`);
  await page.waitForSelector(`dialog#${id}[open]`);
}

async function suspend(site, reason) {
  const { page } = operator;
  await open(page, `/sending/paths/${site}`);
  await ask("suspend");
  await page.selectOption("dialog#suspend select[name=how_long]", "open");
  await page.fill("dialog#suspend input[name=reason]", reason);
  await page.click("dialog#suspend button.primary");
  await told(/Suspended/);
}

async function resume(site) {
  const { page } = operator;
  await open(page, `/sending/paths/${site}`);
  await ask("resume");
  await page.click("dialog#resume button.primary");
  await told(/Resumed/);
}

// The list of what waits is no live part: the page is asked again until it has a line.
async function waits(site) {
  const { page } = operator;
  const until = Date.now() + PATIENCE.timeout;
  do {
    await open(page, `/sending/paths/${site}`);
    if ((await page.locator("button[data-dialog^='pool-']").count()) > 0) return;
    await page.waitForTimeout(500);
  } while (Date.now() < until);
  assert.fail(`nothing waits for ${site}: ${await page.textContent("main")}`);
}

test("what goes to suspended receivers waits", { timeout: 400_000 }, async () => {
  const { page } = operator;
  await suspend("google", "until the trace listens");
  await suspend("yahoo", "until it is dropped");

  await open(page, "/sending/sources/new");
  await page.fill("input[name=name]", "mta-b");
  await page.fill("input[name=pools]", "second");
  await page.click("form[data-save] footer button.primary");
  await told(/Saved/);

  await open(page, "/deliveries");
  await page.click("table a[href^='/deliveries/']");
  [, delivery] = page.url().match(/deliveries\/(\d+)/);
  await open(page, `/deliveries/${delivery}/analysis`);
  await page.click(`form[action='/deliveries/${delivery}/analysis'] button`);
  await page.waitForSelector("button[data-dialog=confirm]:not([disabled])", { timeout: 180_000 });
  await page.click("button[data-dialog=confirm]");
  await page.click("dialog#confirm button.primary");
  await told(/Confirmed/);

  await waits("google");
  await stands("At rest");
  assert.match(await page.textContent("main"), /until the trace listens/);
  await operator.shot("operator-waiting");
  assert.deepEqual(operator.faults, []);
});

test("a delivery goes on from another pool", { timeout: 300_000 }, async () => {
  const { page } = operator;
  await page.click(`button[data-dialog=pool-${delivery}]`);
  await page.selectOption(`dialog#pool-${delivery} select[name=pool]`, "second");
  await page.click(`dialog#pool-${delivery} button.primary`);
  await told(/other pool/);
  await waits("google");
  const row = page.locator("tr", { has: page.locator(`button[data-dialog=pool-${delivery}]`) });
  assert.match(await row.textContent(), /second/);
  assert.deepEqual(operator.faults, []);
});

test("a trace shows a session line by line, once the receiver is resumed", { timeout: 400_000 }, async () => {
  const listener = await operator.context.newPage();
  await open(listener, "/sending/paths/google/trace");
  assert.match(await listener.textContent("main"), /Nothing is followed yet/);
  await listener.fill("input[name=connections]", "1");
  // The stream answers when the engine knows of it: every connection that begins from then on is heard.
  const listens = listener.waitForResponse((response) => response.url().includes("/trace/stream"), PATIENCE);
  await listener.click("form.toolbar button.primary");
  assert.ok((await listens).ok());

  await resume("google");
  const over = () => /the connection is over/.test(document.querySelector("#trace").textContent);
  await listener.waitForFunction(over, null, { timeout: 240_000 });
  const said = (await listener.locator("#trace .trace-line").allTextContents()).join("\n");
  const parts = [/connecting to .* port \d+/, /EHLO /, /MAIL FROM:<…@/, /RCPT TO:<…@/, /DATA/, /a message of \d+ octets/, /250/];
  for (const part of parts) assert.match(said, part);
  assert.doesNotMatch(said, /Subject:|DKIM-Signature/i, "no line of a message");
  await listener.close();

  await stands("mta-b");
  await operator.shot("operator-other-pool");
  assert.deepEqual(operator.faults, []);
});

test("what waits is tried now, drained, and dropped for good by its name alone", { timeout: 400_000 }, async () => {
  const { page } = operator;
  await waits("yahoo");
  await page.click(".page-head form[action$='/retry-now'] button");
  await told(/tried now|Nothing was waiting/);

  await ask("drain");
  await page.fill("dialog#drain input[name=reason]", "a new machine");
  await page.click("dialog#drain button.primary");
  await told(/It drains/);
  assert.match(await page.textContent("main"), /a new machine/);

  await ask("forget");
  await page.click("dialog#forget button.danger");
  await told(/learned/);

  await waits("yahoo");
  await ask("drop");
  await page.fill("dialog#drop input[name=name]", "google");
  await page.click("dialog#drop button.danger");
  await page.waitForFunction(() => document.body.textContent.includes("Nothing was dropped"), null, PATIENCE);
  // A refused form is an error to the browser's console, and the one that is wanted.
  const refused = operator.faults.splice(0);
  assert.deepEqual(refused.filter((fault) => !fault.includes("422")), []);

  await waits("yahoo");
  await ask("drop");
  await page.fill("dialog#drop input[name=name]", "yahoo");
  await operator.shot("operator-drop");
  await page.click("dialog#drop button.danger");
  await told(/dropped/);

  await resume("yahoo");
  const still = () => /At rest|Drains/.test(document.querySelector("#site").textContent);
  await page.waitForFunction(`!(${still})()`, null, PATIENCE);
  assert.deepEqual(operator.faults, []);
});

test("the audit log names each act", { timeout: 60_000 }, async () => {
  await open(operator.page, "/audit");
  const audit = await operator.page.textContent("main");
  const acts = ["suspend", "resume", "drain", "retry_now", "forget", "drop", "trace"].map((act) => `path.${act}`);
  for (const act of [...acts, "source.add", "delivery.pool"]) assert.ok(audit.includes(act), `${act}: ${audit}`);
});
