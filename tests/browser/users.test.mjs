// Users in the browser: an invitation, a second step with its QR code, a right that is missing, two sessions, Japanese and
// Tokyo time, and what the audit log says about all of it.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { openBrowser, signIn, startDemo } from "./demo.mjs";

const PASSWORD = "four unrelated words";

let demo, admin, anna;
before(async () => {
  demo = await startDemo();
  admin = await openBrowser();
  anna = await openBrowser();
});
after(async () => {
  await admin?.browser.close();
  await anna?.browser.close();
  await demo?.stop();
});

// RFC 6238, as an authenticator app does it.
function appCode(secret, at = Date.now()) {
  const bits = [...secret].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((octet) => parseInt(octet, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const tag = createHmac("sha1", key).update(step).digest();
  const number = tag.readUInt32BE(tag[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

async function open({ page }, path) {
  const response = await page.goto(demo.url + path, { waitUntil: "load" });
  assert.ok(response.ok(), `${path}: ${response.status()}`);
}

test("a user from the invitation to the audit log", { timeout: 300_000 }, async () => {
  await signIn(demo, admin.page);
  await open(admin, "/settings/users");
  const form = "form[action='/settings/users']";
  await admin.page.fill(`${form} input[name=name]`, "anna");
  await admin.page.uncheck(`${form} input[value=start]`);
  await admin.page.click(`${form} button[value=invite]`);
  await admin.page.waitForSelector(".copy code");
  const link = await admin.page.textContent(".copy code");
  await admin.shot("users-invited");

  const { page } = anna;
  await page.goto(demo.url + new URL(link).pathname, { waitUntil: "load" });
  await anna.shot("password-link");
  await page.fill("input[name=new]", PASSWORD);
  await page.fill("input[name=again]", PASSWORD);
  await page.click("button.primary");
  await page.waitForURL(demo.url + "/");
  assert.equal(await page.locator("nav a[href='/audit']").count(), 0, "what is closed is not offered");

  await open(anna, "/account/second-factor");
  assert.ok(await page.locator("svg.qr path").isVisible());
  const secret = await page.inputValue("input[name=secret]");
  await anna.shot("second-factor");
  await page.fill("input[name=code]", appCode(secret));
  await page.fill("input[name=password]", PASSWORD);
  await page.click("button[value=on]");
  await page.waitForSelector(".codes li");
  assert.equal(await page.locator(".codes li").count(), 10);
  const spare = await page.textContent(".codes li:first-child code");
  await anna.shot("recovery-codes");

  const elsewhere = await openBrowser({ width: 390, height: 844 });
  try {
    await elsewhere.page.goto(demo.url + "/sign-in", { waitUntil: "load" });
    await elsewhere.page.fill("input[name=name]", "anna");
    await elsewhere.page.fill("input[name=password]", PASSWORD);
    await elsewhere.page.click("button.primary");
    await elsewhere.page.waitForSelector("input[name=code]");
    await elsewhere.shot("phone-code");
    await elsewhere.page.fill("input[name=code]", spare);
    await elsewhere.page.click("button.primary");
    await elsewhere.page.waitForURL(demo.url + "/");
    await open(elsewhere, "/account");
    const wide = await elsewhere.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wide <= 1, `the account is ${wide} px wider than a phone`);
    await open(anna, "/account");
    await page.click("form[action='/account/sessions/end'] button");
    await page.waitForURL(/done=signed-out/);
    await elsewhere.page.goto(demo.url + "/account", { waitUntil: "load" });
    assert.equal(new URL(elsewhere.page.url()).pathname, "/sign-in");
    assert.deepEqual(elsewhere.faults, []);
  } finally {
    await elsewhere.browser.close();
  }

  await page.selectOption("select[name=language]", "ja");
  await page.fill("input[name=time_zone]", "Asia/Tokyo");
  await page.click("form[action='/account/profile'] button");
  await page.waitForURL(/done=saved/);
  assert.equal(await page.getAttribute("html", "lang"), "ja");
  const shown = await page.textContent("time >> nth=0");
  const hour = new Intl.DateTimeFormat("ja", { timeZone: "Asia/Tokyo", hour: "2-digit", hour12: false }).format(new Date());
  assert.ok(shown.includes(`${parseInt(hour, 10)}`.padStart(2, "0") + ":"), `${shown} is no Tokyo time (${hour})`);
  await anna.shot("account-japanese");
  assert.deepEqual(anna.faults, []);
  const refused = await page.goto(demo.url + "/settings", { waitUntil: "load" });
  assert.equal(refused.status(), 403);

  await open(admin, "/audit?actor=anna");
  const lines = await admin.page.locator("tbody td code").allTextContents();
  for (const action of ["user.password", "user.second_factor", "user.end_session", "user.profile"]) {
    assert.ok(lines.includes(action), `${action} is not in ${lines}`);
  }
  await admin.shot("audit");
  const [file] = await Promise.all([admin.page.waitForEvent("download"), admin.page.click("a[href^='/audit.csv']")]);
  assert.equal(file.suggestedFilename(), "audit.csv");
  assert.deepEqual(admin.faults, []);
});
