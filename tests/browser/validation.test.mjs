// From a target to a start that a second person approved: an inverted element, waves and a brake, an approver with the
// right to approve alone, who reads the notice, sees the analysis and says yes; then Confirm shows exactly that snapshot.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser, signIn, startDemo } from "./demo.mjs";

const APPROVER = "eve";
const PASSWORD = "correct horse battery";

let demo, window, second, id;
before(async () => {
  demo = await startDemo();
  window = await openBrowser();
  second = await openBrowser();
});
after(async () => {
  await window?.browser.close();
  await second?.browser.close();
  await demo?.stop();
});

async function open(path, page = window.page) {
  const response = await page.goto(demo.url + path, { waitUntil: "load" });
  assert.ok(response.ok(), `${path}: ${response.status()}`);
}
const tab = (name, page) => open(`/deliveries/${id}/${name}`, page);
const problem = (page) => page.locator(".notice.bad").allInnerTexts();

async function save(page, button) {
  await page.click(button);
  await page.waitForLoadState("load");
  assert.deepEqual(await problem(page), [], page.url());
  assert.match(page.url(), /done=/, "the page says what was done");
}

test("a second user is made, with the right to approve alone", { timeout: 60_000 }, async () => {
  const { page } = window;
  await signIn(demo, page);
  await open("/settings/users");
  const form = "form[action='/settings/users']";
  await page.fill(`${form} input[name=name]`, APPROVER);
  for (const box of await page.locator(`${form} input[name=right]`).all()) {
    await box.setChecked((await box.getAttribute("value")) === "approve");
  }
  await page.click(`${form} button[value=add]`);
  await page.waitForSelector(".copy code");
  const oneTime = await page.locator(".copy code").first().innerText();
  await signIn({ ...demo, name: APPROVER, password: oneTime }, second.page);
  await second.page.fill("input[name=now]", oneTime);
  await second.page.fill("input[name=new]", PASSWORD);
  await second.page.fill("input[name=again]", PASSWORD);
  await second.page.click("form[action='/setup/password'] button");
  await second.page.waitForURL((url) => !url.pathname.startsWith("/setup/password"));
});

test("the target takes an inverted element and is estimated", { timeout: 60_000 }, async () => {
  const { page, shot } = window;
  await open("/deliveries");
  await page.click("table a[href^='/deliveries/']");
  id = page.url().match(/deliveries\/(\d+)/)[1];
  await tab("target");
  const list = await page.locator("select[name=new_list] option:not([value=''])").first().getAttribute("value");
  await page.selectOption("select[name=new_side]", "exclude");
  await page.selectOption("select[name=new_kind]", "list");
  assert.ok(await page.locator("input[name=new_recipient]").isHidden(), "only what belongs to the kind is shown");
  await page.selectOption("select[name=new_list]", list);
  await page.selectOption("select[name=new_outside]", "out");
  await save(page, "button[value=add]");
  const last = page.locator("#elements tbody tr").last();
  assert.equal(await last.locator("select[name=side]").inputValue(), "exclude");
  assert.equal(await last.locator("select[name=outside]").inputValue(), "out");

  await page.fill("input[name=limit]", "120");
  await page.fill("input[name=seed]", "7");
  await save(page, "button.primary[value=save]");
  await page.click("button[value=estimate]");
  await page.waitForSelector("#estimate .plain-rows");
  const counted = Number((await page.locator("#estimate .big").innerText()).replace(/\D/g, ""));
  assert.ok(counted > 120, `the estimate is before the limit: ${counted}`);
  await shot("target");
});

test("waves, a brake and an approver are chosen", { timeout: 60_000 }, async () => {
  const { page, shot } = window;
  await tab("schedule");
  await page.check("input[name=mode][value=equal]");
  await page.fill("input[name=size]", "50%");
  await page.fill("input[name=period]", "1h");
  await page.fill("input[name=hard_bounces]", "50");
  await save(page, ".card > footer button.primary");
  assert.equal(await page.inputValue("input[name=hard_bounces]"), "50%", "a bare number is a percentage");
  await shot("schedule");

  await page.check("input[name=when][value=date]");
  await page.fill("input[name=contact_date]", "2001-01-01T08:00");
  await save(page, ".card > footer button.primary");
  assert.equal(await page.locator(".notice.warn").count(), 1, "a date in the past is warned of");
  await page.check("input[name=when][value=now]");
  await save(page, ".card > footer button.primary");

  await tab("validation");
  const row = page.locator("tr", { has: page.locator(`input[name=person][value=${APPROVER}]`) });
  await row.locator("select[name=asked]").selectOption("both");
  await save(page, ".card > footer button.primary");
  await shot("validation");
});

test("it waits for its approver, who is told and says yes", { timeout: 240_000 }, async () => {
  const { page, shot } = window;
  await tab("analysis");
  await page.click(`form[action='/deliveries/${id}/analysis'] button`);
  await page.waitForSelector("#confirm-why", { timeout: 180_000 });
  assert.ok(await page.locator("button[aria-describedby=confirm-why]").isDisabled(), "Confirm waits");
  assert.match(await page.innerText("#confirm-why"), /approver/);
  await shot("awaiting-approval");

  const other = second.page;
  await open("/notices", other);
  assert.equal(await other.locator(".bell .dot-count").count(), 1);
  await second.shot("notices");
  await other.click(".notices .unread a");
  await other.waitForLoadState("load");
  await other.fill("textarea[name=comment]", "Looks good to me.");
  await other.click(`form[action='/deliveries/${id}/approve'] button.primary`);
  await other.waitForLoadState("load");
  assert.match(await other.innerText(".said"), /Looks good to me/);
  await second.shot("approved");
  await open("/notices", other);
  await other.click("form[action='/notices/read'] button");
  await other.waitForLoadState("load");
  assert.equal(await other.locator(".bell .dot-count").count(), 0);
  assert.equal(await other.locator("button[data-dialog=confirm]").count(), 0, "who approves may not start by that");
});

test("Confirm shows what was approved, and starts it in two waves", { timeout: 120_000 }, async () => {
  const { page, shot } = window;
  await tab("analysis");
  await page.click("button[data-dialog=confirm]");
  const dialog = page.locator("dialog#confirm[open]");
  await dialog.waitFor();
  const said = await dialog.innerText();
  assert.match(said, new RegExp(`approved by ${APPROVER}`));
  assert.match(said, /120 messages/);
  await shot("confirm-approved");
  const hash = await dialog.locator("input[name=snapshot]").inputValue();
  await tab("confirm");
  assert.equal(await page.inputValue("input[name=snapshot]"), hash, "the page is the dialog for those without scripts");
  await shot("confirm-page");
  await page.click(`form[action='/deliveries/${id}/confirm'] button.primary`);
  await page.waitForURL(/\/watch/);
  assert.match(await page.innerText("main"), /60/);
  await shot("watch-waves");
  await open("/calendar?view=week");
  assert.ok((await page.locator(".event").count()) >= 2, "both waves are in the calendar");
  await shot("calendar");
  await open("/typologies");
  await shot("typologies");
  await open("/typologies/rules/new?kind=control");
  await page.fill("textarea[name=condition]", "messages < 100");
  await page.fill("input[name=message]", "{{ messages }} are many");
  await page.click("button[formaction='/typologies/rules/try']");
  await page.waitForSelector("#trial .badge.warn");
  await shot("rule");
  assert.deepEqual(window.faults.concat(second.faults), []);
});

test("the new pages fit a phone, in the dark", { timeout: 120_000 }, async () => {
  const phone = await openBrowser({ width: 390, height: 844, dark: true });
  try {
    await phone.context.addCookies(await window.context.cookies());
    const paths = ["target", "schedule", "validation", "variants", "proofs", "analysis", "watch"];
    const pages = paths.map((name) => `/deliveries/${id}/${name}`);
    for (const path of [...pages, "/calendar", "/notices", "/typologies", "/typologies/1", "/typologies/rules/new?kind=pressure"]) {
      await open(path, phone.page);
      const wide = await phone.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      await phone.shot(`phone-${path.replace(/\W+/g, "-").replace(/^-|-$/g, "").replace(/^deliveries-\d+-/, "")}`);
      assert.ok(wide <= 1, `${path} is ${wide} px too wide`);
    }
    assert.deepEqual(phone.faults, []);
  } finally {
    await phone.browser.close();
  }
});
