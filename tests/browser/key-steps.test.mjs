// A newcomer's way through the demo: sign in, look at the draft, send a proof and read it, analyse, confirm, watch, and
// find every recipient in the log.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser, startDemo } from "./demo.mjs";

const PROOF_READER = "reader@tail7.example";

let demo, window;
before(async () => {
  demo = await startDemo();
  window = await openBrowser();
});
after(async () => {
  await window?.browser.close();
  await demo?.stop();
});

async function open(path) {
  const response = await window.page.goto(demo.url + path, { waitUntil: "load" });
  assert.ok(response.ok(), `${path}: ${response.status()}`);
}

test("the key steps in the browser", { timeout: 600_000 }, async () => {
  const { page, shot, faults } = window;
  await page.goto(demo.url + "/", { waitUntil: "load" });
  await shot("sign-in");
  await page.fill("input[name=name]", demo.name);
  await page.fill("input[name=password]", demo.password);
  await page.click("form[action='/sign-in'] button");
  await page.waitForURL((url) => !url.pathname.startsWith("/sign-in"));
  await open("/");
  await shot("home");

  await open("/deliveries");
  await shot("deliveries");
  await page.click("table a[href^='/deliveries/']");
  const id = page.url().match(/deliveries\/(\d+)/)[1];
  const tab = (name) => open(`/deliveries/${id}/${name}`);
  for (const name of ["content", "target", "parameters"]) {
    await tab(name);
    await shot(`delivery-${name}`);
  }

  await tab("proofs");
  await page.fill("textarea[name=to]", PROOF_READER);
  await page.click(`form[action='/deliveries/${id}/proofs'] button`);
  await page.waitForLoadState("load");
  await mailFor(PROOF_READER);
  await page.click(".mail-list a >> nth=0");
  await page.waitForLoadState("load");
  await shot("mailbox-message");
  await tab("proofs");
  await shot("delivery-proofs");

  await tab("analysis");
  await page.click(`form[action='/deliveries/${id}/analysis'] button`);
  await page.waitForSelector("button[data-dialog=confirm]:not([disabled])", { timeout: 120_000 });
  await shot("delivery-analysis");
  await page.click("button[data-dialog=confirm]");
  await page.waitForSelector("dialog#confirm[open]");
  await shot("delivery-confirm");
  await page.click("dialog#confirm button.primary");
  await page.waitForLoadState("load");
  await tab("watch");
  await page.waitForTimeout(6_000);
  await shot("delivery-watch");

  await tab("log");
  await shot("delivery-log");
  assert.ok((await page.locator("tbody tr").count()) > 10, "the log lists recipients");
  await page.goto(demo.url + `/deliveries/${id}/log?state=failed`);
  await open("/mailbox");
  await shot("mailbox");
  assert.ok((await page.locator(".mail-list li").count()) > 5, "mail arrived");

  for (const path of ["/recipients", "/lists", "/segments", "/imports", "/quarantine", "/domains", "/settings", "/help", "/setup"]) {
    await open(path);
    await shot(path.slice(1));
  }
  assert.deepEqual(faults, []);
});

test("the pages in the dark, and on a phone", { timeout: 120_000 }, async () => {
  for (const [name, look] of [["dark", { dark: true }], ["phone", { width: 390, height: 844 }]]) {
    const other = await openBrowser(look);
    try {
      await other.context.addCookies(await window.context.cookies());
      for (const path of ["/", "/deliveries", "/recipients"]) {
        await other.page.goto(demo.url + path, { waitUntil: "load" });
        const wide = await other.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        await other.shot(`${name}-${path === "/" ? "home" : path.slice(1)}`);
        assert.ok(wide <= 1, `${path} is ${wide} px wider than the ${name} window`);
      }
      assert.deepEqual(other.faults, []);
    } finally {
      await other.browser.close();
    }
  }
});

async function mailFor(address) {
  const { page } = window;
  for (let i = 0; i < 60; i++) {
    await page.goto(`${demo.url}/mailbox?q=${encodeURIComponent(address)}`, { waitUntil: "load" });
    if ((await page.locator(".mail-list li").count()) > 0) return;
    await page.waitForTimeout(500);
  }
  assert.fail(`no mail for ${address}`);
}
