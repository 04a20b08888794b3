// Sending in the browser while the demo sends: paths that move by themselves, a receiver that is suspended and resumed, a limit
// that is changed and taken back, and nothing wider than a phone.
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
