// Takes the README's pictures from the running demo: `node screenshots.mjs`, then look at docs/images.
// Needs a font with the scripts of the demo's names (Debian: fonts-noto-cjk fonts-noto-core).
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { openBrowser, startDemo } from "./demo.mjs";

const images = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "docs", "images");
mkdirSync(images, { recursive: true });

const demo = await startDemo();
const { browser, page } = await openBrowser({ width: 1280, height: 860 });
const shot = (name) => page.screenshot({ path: join(images, `${name}.png`) });
const open = (path) => page.goto(demo.url + path, { waitUntil: "load" });

try {
  await open("/");
  await page.fill("input[name=name]", demo.name);
  await page.fill("input[name=password]", demo.password);
  await page.click("form[action='/sign-in'] button");
  await page.waitForURL((url) => !url.pathname.startsWith("/sign-in"));
  await open("/deliveries");
  await page.click("table a[href^='/deliveries/']");
  const id = page.url().match(/deliveries\/(\d+)/)[1];
  await open(`/deliveries/${id}/content`);
  const frame = page.locator("iframe").first();
  await frame.scrollIntoViewIfNeeded();
  await page.waitForTimeout(1_500);
  await shot("delivery-content");
  await open(`/deliveries/${id}/proofs`);
  await page.fill("textarea[name=to]", "reader@tail7.example");
  await page.click(`form[action='/deliveries/${id}/proofs'] button`);
  await page.waitForTimeout(3_000);
  await open(`/deliveries/${id}/analysis`);
  await page.click(`form[action='/deliveries/${id}/analysis'] button`);
  await page.waitForSelector("button[data-dialog=confirm]:not([disabled])", { timeout: 120_000 });
  await shot("delivery-analysis");
  await page.click("button[data-dialog=confirm]");
  await page.click("dialog#confirm button.primary");
  await page.waitForTimeout(25_000);
  await open(`/deliveries/${id}/watch`);
  await page.waitForTimeout(8_000);
  await shot("delivery-watch");
  await open(`/deliveries/${id}/log`);
  await shot("delivery-log");
  await open("/");
  await shot("home");
} finally {
  await browser.close();
  await demo.stop();
}
