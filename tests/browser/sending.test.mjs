// Sending in the browser while the demo sends: paths that move by themselves, a receiver that is suspended and resumed, a limit
// that is changed and taken back, a session that is heard line by line, every act of an operator by its button, and nothing
// wider than a phone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser, signIn, startDemo } from "./demo.mjs";

let demo, operator, phone;
before(async () => {
  demo = await startDemo();
  operator = await openBrowser();
  phone = await openBrowser({ width: 390, height: 844, dark: true });
});
after(async () => {
  await operator?.browser.close();
  await phone?.browser.close();
  await demo?.stop();
});

async function open({ page }, path) {
  const response = await page.goto(demo.url + path, { waitUntil: "load" });
  assert.ok(response.ok(), `${path}: ${response.status()}`);
}

async function send({ page }) {
  await page.goto(`${demo.url}/deliveries`);
  await page.click("table a[href^='/deliveries/']");
  const [, id] = page.url().match(/deliveries\/(\d+)/);
  await page.goto(`${demo.url}/deliveries/${id}/analysis`);
  await page.click(`form[action='/deliveries/${id}/analysis'] button`);
  await page.waitForSelector("button[data-dialog=confirm]:not([disabled])", { timeout: 180_000 });
  await page.click("button[data-dialog=confirm]");
  await page.click("dialog#confirm button.primary");
  return id;
}

test("an operator watches, suspends, resumes and changes a limit", { timeout: 400_000 }, async () => {
  await signIn(demo, operator.page);
  const { page } = operator;
  await open(operator, "/sending/paths");
  assert.match(await page.textContent("#board"), /No path is in use/);
  const id = await send(operator);

  await open(operator, "/sending/paths");
  await page.waitForSelector("#board a[href='/sending/paths/google']", { timeout: 60_000 });
  const before = await page.textContent("#board .figures");
  await page.waitForFunction((was) => document.querySelector("#board .figures").textContent !== was, before);
  await operator.shot("sending-paths");

  await open(operator, "/sending/paths/google");
  await page.click("[data-dialog=suspend]");
  await page.fill("dialog#suspend input[name=reason]", "a try");
  await operator.shot("sending-suspend");
  await page.click("dialog#suspend button.primary");
  await page.waitForSelector(".notice.ok");
  await page.waitForFunction(() => document.querySelector("#site").textContent.includes("At rest"));
  assert.match(await page.textContent("main"), /a try/);
  await page.click("[data-dialog=resume]");
  await page.click("dialog#resume button.primary");
  await page.waitForFunction(() => document.querySelector(".notice.ok")?.textContent.includes("Resumed"));
  await page.waitForFunction(() => !document.querySelector("#site").textContent.includes("At rest"));

  await open(operator, "/sending/limits/google");
  await page.fill("input[name=connections]", "2");
  await page.fill("input[name=message_rates]", "120/min");
  await page.click(".form-foot button.primary");
  await page.waitForSelector(".notice.ok");
  assert.match(await page.textContent("main"), /Who changed what/);
  await page.click("[data-dialog=reset]");
  await page.click("dialog#reset button.danger");
  await page.waitForFunction(() => document.querySelector(".notice.ok")?.textContent.includes("Taken back"));

  await open(operator, "/audit");
  const audit = await page.textContent("main");
  for (const action of ["path.suspend", "path.resume", "shaping.change", "shaping.restore"]) {
    assert.ok(audit.includes(action), action);
  }
  await open(operator, `/deliveries/${id}/watch`);
  assert.match(await page.textContent("main"), /Hour by hour/);
  assert.deepEqual(operator.faults, []);
});

test("a trace shows a session line by line", { timeout: 200_000 }, async () => {
  const { page } = operator;
  await open(operator, "/sending/paths/google/trace");
  assert.match(await page.textContent("main"), /Nothing is followed yet/);
  await page.fill("input[name=connections]", "1");
  await page.click("form.toolbar button.primary");
  await page.waitForSelector("#trace");
  // A connection that begins is one that can be heard from its greeting on: those that stand end with their messages.
  await page.waitForSelector("#trace .trace-line.out", { timeout: 120_000 });
  await page.waitForFunction(() => /the connection is over/.test(document.querySelector("#trace").textContent), null, {
    timeout: 120_000,
  });
  const lines = await page.locator("#trace .trace-line").allTextContents();
  const said = lines.join("\n");
  for (const part of [/connecting to .* port \d+/, /EHLO /, /MAIL FROM:<…@/, /RCPT TO:<…@/, /DATA/, /a message of \d+ octets/, /250/]) {
    assert.match(said, part);
  }
  assert.doesNotMatch(said, /Subject:|DKIM-Signature/i, "no line of a message");
  await operator.shot("sending-trace");
  assert.deepEqual(operator.faults, []);
});

test("every act of an operator has its button", { timeout: 300_000 }, async () => {
  const { page } = operator;
  const site = "/sending/paths/yahoo";
  const told = (words) =>
    page.waitForFunction((wanted) => document.querySelector(".notice.ok")?.textContent.includes(wanted), words);
  const stands = (words) =>
    page.waitForFunction((wanted) => document.querySelector("#site").textContent.includes(wanted), words, { timeout: 30_000 });
  const menu = async (id) => {
    await page.click("details.menu summary");
    await page.click(`details.menu [data-dialog=${id}]`);
    await page.waitForSelector(`dialog#${id}[open]`);
  };
  await open(operator, "/sending/sources/new");
  await page.fill("input[name=name]", "mta-b");
  await page.fill("input[name=pools]", "second");
  await page.click("form[data-save] footer button.primary");
  await told("Saved");

  await open(operator, site);
  const before = await page.textContent("#site .figures");
  await page.waitForFunction((was) => document.querySelector("#site .figures").textContent !== was, before, { timeout: 60_000 });
  await menu("drain");
  await page.fill("dialog#drain input[name=reason]", "a new machine");
  await page.click("dialog#drain button.primary");
  await told("It drains");
  await stands("a new machine");
  await page.click("[data-dialog=resume]");
  await page.click("dialog#resume button.primary");
  await told("Resumed");
  await page.click(".page-head form[action$='/retry-now'] button");
  await page.waitForFunction(() => /tried now|nothing/i.test(document.querySelector(".notice.ok")?.textContent ?? ""));
  await menu("forget");
  await page.click("dialog#forget button.danger");
  await told("learned");

  await page.click("[data-dialog=suspend]");
  await page.selectOption("dialog#suspend select[name=how_long]", "open");
  await page.fill("dialog#suspend input[name=reason]", "until it is moved");
  await page.click("dialog#suspend button.primary");
  await told("Suspended");
  await open(operator, site);
  const row = page.locator("table button[data-dialog^='pool-']").first();
  await row.click();
  await page.selectOption("dialog[open] select[name=pool]", "second");
  await page.click("dialog[open] button.primary");
  await told("other pool");
  await operator.shot("sending-site-waiting");

  await menu("drop");
  await page.fill("dialog#drop input[name=name]", "google");
  await page.click("dialog#drop button.danger");
  assert.match(await page.textContent("main, body"), /Nothing was dropped/);
  await open(operator, site);
  await menu("drop");
  await page.fill("dialog#drop input[name=name]", "yahoo");
  await operator.shot("sending-drop");
  await page.click("dialog#drop button.danger");
  await page.waitForFunction(() => /dropped/i.test(document.querySelector(".notice.ok")?.textContent ?? ""));
  await page.click("[data-dialog=resume]");
  await page.click("dialog#resume button.primary");
  await told("Resumed");
  // The refused form is the one answer that is no success.
  assert.deepEqual(operator.faults.filter((fault) => !/422/.test(fault)), []);
  operator.faults.length = 0;

  await open(operator, "/audit");
  const audit = await page.textContent("main");
  for (const action of ["path.drain", "path.retry_now", "path.forget", "path.drop", "source.add", "delivery.pool"]) {
    assert.ok(audit.includes(action), `${action}: ${audit}`);
  }
});

test("the pages of sending fit a phone, in dark", { timeout: 200_000 }, async () => {
  await signIn(demo, phone.page);
  const paths = [
    "paths", "paths/google", "paths/google/trace", "verdicts", "sources", "sources/new", "sources/default", "warm-ups",
    "warm-ups/new", "limits", "limits/google", "changes", "tls",
  ];
  for (const path of paths) {
    await open(phone, `/sending/${path}`);
    const over = await phone.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(over <= 0, `${path} is ${over} pixels too wide`);
    await phone.shot(`sending-phone-${path.replaceAll("/", "-")}`);
  }
  assert.deepEqual(phone.faults, []);
});
