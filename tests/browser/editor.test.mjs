// Writing a content in the browser: MJML with an error at its line, an image that is dropped, autosave, two people in one
// draft, and the preview's widths. Then a look at every page that has to do with content.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openBrowser, signIn, startDemo } from "./demo.mjs";

// A red square of 8 x 8 pixels.
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAE0lEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC";
const SCRIPT = `<script>parent.document.title = "hacked"; document.body.textContent = "hacked"</script>`;

let demo, window, id;
before(async () => {
  demo = await startDemo();
  window = await openBrowser({ width: 1440, height: 950 });
  await signIn(demo, window.page);
  id = await draft("Written in the browser");
});
after(async () => {
  await window?.browser.close();
  await demo?.stop();
});

async function open(path, page = window.page) {
  const response = await page.goto(demo.url + path, { waitUntil: "load" });
  assert.ok(response.ok(), `${path}: ${response.status()}`);
}

async function draft(label) {
  const { page } = window;
  await open("/deliveries/new");
  await page.fill("input[name=label]", label);
  await page.fill("input[name=subject]", "Hello {{ first_name | default('you') }}");
  const list = page.locator("select[name=list] option").nth(1);
  if (await list.count()) await page.selectOption("select[name=list]", await list.getAttribute("value"));
  await page.click("form[action='/deliveries/new'] button.primary");
  await page.waitForURL(/\/content/);
  await page.fill("input[name=from_address]", "news@fernkettle.example");
  await saved(page);
  return page.url().match(/deliveries\/(\d+)/)[1];
}

// What our pages did wrong. That the frame of a preview refuses something of the author's is what it is for.
const ours = (faults) => faults.filter((fault) => !/style-src 'unsafe-inline'|Blocked script execution|fonts\.googleapis/.test(fault));

const source = (page, language) => page.locator(`.editor[data-language=${language}] .cm-content`).first();
const state = (page) => page.locator("#save-state");
const saved = (page) => page.waitForFunction(() => document.getElementById("save-state")?.dataset.kind === "ok");

// Replaces a source. It is emptied first: text put over styled text lets Chromium write style attributes for a moment,
// which the policy refuses aloud.
async function write(page, language, text) {
  await source(page, language).click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await page.keyboard.insertText(text);
}

test("MJML with a mistake shows it at its line, and is previewed without it", { timeout: 120_000 }, async () => {
  const { page, shot, faults } = window;
  await open(`/deliveries/${id}/content`);
  await page.click("label:has(input[name=kind][value=mjml])");
  const mjml = (field) => `<mjml>\n  <mj-body>\n    <mj-section><mj-column>\n      <mj-text>Hello {{ ${field} }}</mj-text>\n      <mj-text><a href="{{ unsubscribe_url }}">Unsubscribe</a></mj-text>\n    </mj-column></mj-section>\n  </mj-body>\n</mjml>\n`;
  await write(page, "mjml", mjml("first_nam"));
  await page.waitForSelector("#findings .problems a.at");
  const at = page.locator("#findings .problems a.at").first();
  assert.match(await at.textContent(), /line 4\b/);
  const marker = page.locator(".editor[data-language=mjml] .cm-lint-marker-error");
  await marker.waitFor();
  await saved(page); // a mistake is the author's work too
  await shot("content-mjml-error");
  await at.click();
  const line = await page.evaluate(() => {
    const { activeElement } = document.querySelector(".editor[data-language=mjml] .code-host").shadowRoot;
    return activeElement?.classList.contains("cm-content") && activeElement.querySelector(".cm-activeLine")?.textContent;
  });
  assert.match(String(line), /first_nam/, "the list leads to the line");

  await write(page, "mjml", mjml("first_name | default('you')"));
  await page.waitForFunction(() => !document.querySelector("#findings .problems:not(.warn)"));
  const frame = page.frameLocator(".beside iframe");
  await frame.locator("text=Unsubscribe").waitFor();
  await saved(page);
  assert.equal(await marker.count(), 0);
  await shot("content-mjml");
  await open(`/deliveries/${id}/content`);
  assert.match(await page.inputValue("#mjml"), /mj-column/, "it was saved without a button");
  assert.deepEqual(ours(faults), []);
});

test("an image that is dropped is uploaded and inserted, and undo takes it back", { timeout: 120_000 }, async () => {
  const { page, shot, faults } = window;
  await open(`/deliveries/${id}/content`);
  await source(page, "mjml").waitFor();
  const before = await page.inputValue("#mjml");
  await page.evaluate((png) => {
    const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
    const content = document.querySelector(".editor[data-language=mjml] .code-host").shadowRoot.querySelector(".cm-content");
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "red square.png", { type: "image/png" }));
    const line = content.querySelectorAll(".cm-line")[2].getBoundingClientRect();
    content.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, clientX: line.right - 2, clientY: line.top + 4, bubbles: true, cancelable: true, composed: true }));
  }, PNG);
  await page.waitForFunction(() => document.querySelector(".editor[data-language=mjml] .code-host").shadowRoot.textContent.includes("red square.png"));
  await saved(page);
  await open(`/deliveries/${id}/files`);
  await page.waitForSelector("text=red square.png");
  assert.match(await page.textContent("main"), /8 × 8/);
  await page.waitForFunction(() => [...document.querySelectorAll("img.thumb")].every((image) => image.complete && image.naturalWidth === 8));
  await shot("files");
  await open(`/deliveries/${id}/content`);
  await page.frameLocator(".beside iframe").locator("img").first().waitFor();

  // Undo is the editor's own, over saves.
  await write(page, "mjml", "<mjml></mjml>");
  await saved(page);
  await page.keyboard.press("Control+z");
  await page.waitForFunction(() => document.querySelector(".editor[data-language=mjml] .code-host").shadowRoot.textContent.includes("red square.png"));
  await saved(page);
  assert.notEqual(await page.inputValue("#mjml"), before);
  assert.deepEqual(ours(faults), []);
});

test("the text stays when the server is away, and is saved when it is back", { timeout: 120_000 }, async () => {
  const { page, context } = window;
  const other = await draft("Saved in a storm");
  await source(page, "html").click();
  await context.setOffline(true);
  await page.keyboard.insertText("<p>Written offline</p>");
  await page.waitForFunction(() => /Could not be saved/.test(document.getElementById("save-state").textContent));
  await context.setOffline(false);
  await saved(page);
  assert.match(await state(page).textContent(), /^Saved \d\d:\d\d$/);
  await open(`/deliveries/${other}/content`);
  assert.match(await page.inputValue("#html"), /Written offline/);
  window.faults.length = 0; // the browser reports the failed request itself
});

test("two people in one draft are told of each other, and asked which version counts", { timeout: 180_000 }, async () => {
  const { page, shot, faults } = window;
  const shared = await draft("Written by two");
  const second = await openBrowser({ width: 1440, height: 950 });
  try {
    await second.context.addCookies(await window.context.cookies());
    await open(`/deliveries/${shared}/content`, second.page);
    await second.page.locator("#presence:not([hidden])").waitFor({ timeout: 30_000 });
    await write(page, "html", "<p>first</p>");
    await saved(page);
    await write(second.page, "html", "<p>second</p>");
    await second.page.locator("#conflict:not([hidden])").waitFor({ timeout: 30_000 });
    await second.shot("content-conflict");
    assert.match(await second.page.locator("#conflict").textContent(), /newer version/);
    assert.match(await source(second.page, "html").textContent(), /second/, "what was typed is still there");
    await second.page.click("[data-conflict=mine]");
    await saved(second.page);
    // The other page hears of it by itself.
    await page.locator("#conflict:not([hidden])").waitFor({ timeout: 30_000 });
    await page.click("[data-conflict=theirs]");
    await page.waitForLoadState("load");
    await page.waitForFunction(() => document.getElementById("html")?.value.includes("second"));
    assert.deepEqual(ours([...faults, ...second.faults]), []);
  } finally {
    await second.browser.close();
  }
  await shot("content");
});

test("the preview has widths, and never runs a script", { timeout: 120_000 }, async () => {
  const { page, shot, faults } = window;
  await write(page, "html", `<p>Wide</p>${SCRIPT}<img src="x" onerror="parent.document.title='hacked'"><a href="{{ unsubscribe_url }}">Unsubscribe</a>`);
  await page.frameLocator(".beside iframe").locator("text=Wide").waitFor();
  const width = () => page.evaluate(() => document.querySelector(".beside iframe").clientWidth);
  assert.ok((await width()) >= 700, "a desktop is wide, however narrow the pane");
  await page.click(".beside [data-width=phone]");
  assert.equal(await width(), 375);
  await page.click(".beside [data-part=text]");
  await page.waitForSelector(".beside pre[data-part=text]:not([hidden])");
  await saved(page);
  const here = page.url().match(/deliveries\/(\d+)/)[1];
  await open(`/deliveries/${here}/preview`);
  await page.frameLocator(".device.phone iframe").locator("text=Wide").waitFor();
  await shot("preview");
  for (const part of ["text", "source", "headers", "links", "diagnostics"]) {
    await open(`/deliveries/${here}/preview?part=${part}`);
    assert.equal(await page.locator(`.inner-tabs a[aria-current=page]`).count(), 1, part);
    await shot(`preview-${part}`);
  }
  await open(`/deliveries/${here}/preview?format=docomo&part=diagnostics`);
  await page.click(".problems a.at");
  await page.waitForURL(/content#at=html:1:\d+/);
  await page.waitForFunction(() => document.activeElement?.matches(".editor[data-language=html] .code-host"));
  assert.notEqual(await page.title(), "hacked");
  // What the policy of the frame refuses is refused aloud; that is what is wanted here.
  const others = faults.filter((fault) => !/Blocked script execution|sandbox|Content Security Policy|404/.test(fault));
  assert.deepEqual(others, []);
  faults.length = 0;
});

test("blocks: written, included, found again, deleted", { timeout: 120_000 }, async () => {
  const { page, shot, faults } = window;
  await open("/blocks");
  await shot("blocks");
  await open("/blocks/new");
  await page.fill("input[name=name]", "footer");
  await write(page, "html", "<p>Fern &amp; Kettle, <b>Harbour Street 1</b></p>");
  await page.frameLocator(".beside iframe").locator("text=Harbour Street").waitFor();
  await shot("block-new");
  await page.click(".savebar button.primary");
  await page.waitForURL(/block\/footer/);
  const here = await draft("With a block");
  await page.click("summary:has-text('Blocks')");
  await page.click("button[data-insert*='footer']");
  await page.frameLocator(".beside iframe").locator("text=Harbour Street").waitFor();
  await saved(page);
  await open("/blocks/block/footer");
  await page.waitForSelector(`a[href='/deliveries/${here}/content']`);
  await shot("block");
  await page.click("button[data-dialog=delete]");
  await page.click("dialog#delete button.danger");
  await page.waitForURL(/blocks\?done=deleted/);
  await page.goto(`${demo.url}/deliveries/${here}/content`, { waitUntil: "load" });
  assert.match(await page.textContent("#findings"), /footer/, "a block that is gone is named");
  assert.deepEqual(ours(faults), []);
});

test("templates: kept from a delivery, and a delivery begun from it", { timeout: 120_000 }, async () => {
  const { page, shot, faults } = window;
  await open(`/deliveries/${id}/content`);
  await page.click("details.menu:has([data-dialog=as-template]) summary");
  await page.click("button[data-dialog=as-template]");
  await page.fill("dialog#as-template input[name=name]", "Monthly letter");
  await page.click("dialog#as-template button.primary");
  await page.waitForURL(/done=template/);
  assert.equal(await page.locator(".steps").count(), 0, "a template has no key steps");
  await shot("template");
  await open("/templates");
  await page.waitForSelector("text=Monthly letter");
  await shot("templates");
  await page.click("li:has-text('Monthly letter') a.btn.primary");
  await shot("delivery-new");
  await page.fill("input[name=label]", "From the template");
  await page.click("form[action='/deliveries/new'] button.primary");
  await page.waitForURL(/done=created/);
  assert.match(await page.inputValue("#mjml"), /mj-column/);
  await open(`/deliveries/${page.url().match(/deliveries\/(\d+)/)[1]}/files`);
  await page.waitForSelector("text=red square.png");
  assert.deepEqual(ours(faults), []);
});

test("links, parameters and format rules hold what is typed", { timeout: 120_000 }, async () => {
  const { page, shot, faults } = window;
  const here = await draft("With links");
  await write(page, "html", `<a href="https://shop.example/terms">Terms</a> <a href="https://shop.example/">Shop</a> <a href="{{ unsubscribe_url }}">Unsubscribe</a>`);
  await saved(page);
  await open(`/deliveries/${here}/links`);
  const terms = page.locator("tr:has-text('shop.example/terms')");
  await terms.locator("input[name=category]").fill("legal");
  await terms.locator("select[name=mode]").selectOption("untracked");
  await page.fill("input[name='utm:source']", "newsletter");
  await shot("links");
  await page.click("form[data-save] button.primary");
  await page.waitForURL(/done=saved/);
  assert.equal(await terms.locator("select[name=mode]").inputValue(), "untracked");
  assert.equal(await page.inputValue("input[name='utm:source']"), "newsletter");

  await open(`/deliveries/${here}/parameters`);
  await page.fill("textarea[name=headers]", "X-Season: autumn\nno header");
  await page.click("form[data-save] footer button.primary");
  await page.waitForSelector(".notice.bad");
  assert.match(await page.textContent(".notice.bad"), /Line 2/);
  await page.fill("textarea[name=headers]", "X-Season: autumn");
  await page.selectOption("select[name=format]", "alternative");
  await page.click("form[data-save] footer button.primary");
  await page.waitForURL(/done=saved/);
  assert.match(await page.inputValue("textarea[name=headers]"), /X-Season: autumn/);
  await shot("parameters");

  await open("/settings/formats");
  await shot("formats");
  await open("/settings/formats/new");
  await page.fill("input[name=mask]", "*.example.jp");
  await page.selectOption("select[name=subject_charset]", "iso-2022-jp");
  await shot("format-rule");
  await page.click("form[data-save] button.primary");
  await page.waitForURL(/done=saved/);
  await page.waitForSelector("text=*.example.jp");
  faults.splice(0, faults.length, ...faults.filter((fault) => !/422/.test(fault))); // the refused form
  assert.deepEqual(ours(faults), []);
});

test("the new pages in the dark, and on a phone", { timeout: 180_000 }, async () => {
  for (const [name, look] of [["dark", { dark: true, width: 1440 }], ["phone", { width: 390, height: 844 }]]) {
    const other = await openBrowser(look);
    try {
      await other.context.addCookies(await window.context.cookies());
      const pages = ["content", "preview", "files", "links", "parameters"].map((tab) => [tab, `/deliveries/${id}/${tab}`]);
      pages.push(["blocks", "/blocks"], ["block-new", "/blocks/new"], ["templates", "/templates"], ["formats", "/settings/formats"], ["format-rule", "/settings/formats/new"]);
      for (const [title, path] of pages) {
        await other.page.goto(demo.url + path, { waitUntil: "load" });
        await other.page.waitForTimeout(300);
        const wide = await other.page.evaluate(() => document.documentElement.scrollWidth - globalThis.innerWidth);
        await other.shot(`${name}-${title}`);
        assert.ok(wide <= 1, `${path} is ${wide} px wider than the ${name} window`);
      }
      assert.deepEqual(ours(other.faults), []);
    } finally {
      await other.browser.close();
    }
  }
});

test("without scripts, the form saves as before", { timeout: 60_000 }, async () => {
  const { browser } = window;
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 900 } });
  try {
    await context.addCookies(await window.context.cookies());
    const page = await context.newPage();
    const here = await draft("Without scripts");
    await page.goto(`${demo.url}/deliveries/${here}/content`);
    await page.fill("#html", "<p>Plain form</p>");
    await page.screenshot({ path: "../../target/screenshots/content-without-scripts.png", fullPage: true });
    await page.click("footer button.primary");
    await page.waitForURL(/done=saved/);
    assert.match(await page.inputValue("#html"), /Plain form/);
  } finally {
    await context.close();
  }
});
