// The golden mail, read back by postal-mime: the same subject, names, texts, images and attachments as NAME.json says.
// Python's parser does the same, and more (tests/python/golden.py): two readers that know nothing of each other.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { inflateSync } from "node:zlib";
import jsQR from "jsqr";
import { GifReader } from "omggif";
import PostalMime from "postal-mime";

// Node's decoder of windows-1252 takes 0x80 to 0x9F for ISO-8859-1's control characters (nodejs/node#56542, in Node 20
// still), so this one encoding is decoded by the table of the Encoding Standard.
const HIGH = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";
const NodeDecoder = globalThis.TextDecoder;
globalThis.TextDecoder = class extends NodeDecoder {
  decode(...input) {
    const text = super.decode(...input);
    return this.encoding === "windows-1252" ? text.replace(/[\x80-\x9f]/g, (c) => HIGH[c.charCodeAt(0) - 0x80]) : text;
  }
};

const golden = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "crates", "content", "tests", "golden");
const names = readdirSync(join(golden, "mail")).filter((file) => file.endsWith(".eml")).map((file) => file.slice(0, -4));

// The server's links as what they lead to, as in tests/python/golden.py.
function plainLinks(text, expect) {
  const base = expect.public_url.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const token = "[A-Za-z0-9_-]+";
  return text
    .replace(new RegExp(`${base}/l/${token}/(\\d+)(\\?[^\\s"'<>\\]]*)?`, "g"), (_, n, query) => (query ? `[link ${n}${query}]` : `[${expect.urls[n]}]`))
    .replace(new RegExp(`${base}/u/${token}`, "g"), "[unsubscribe]")
    .replace(new RegExp(`${base}/m/${token}`, "g"), "[mirror]")
    .replace(new RegExp(`${base}/o/${token}\\.gif`, "g"), "[pixel]")
    .replace(new RegExp(`${base}/a/([0-9a-f]{64})\\.\\w+`, "g"), (_, hash) => `[asset ${expect.assets[hash]}]`);
}

const unified = (text, expect) => {
  const lines = text.replace(/\r\n/g, "\n").replace(/\n+$/, "");
  return expect.nfc ? lines.normalize("NFC") : lines;
};

const octets = (name) => readFileSync(join(golden, "assets", name));

// A picture of a code as jsQR takes it: four octets a pixel.
function pixels(octets, kind) {
  if (kind === "image/gif") {
    const gif = new GifReader(octets);
    const rgba = new Uint8ClampedArray(4 * gif.width * gif.height);
    gif.decodeAndBlitFrameRGBA(0, rgba);
    return [rgba, gif.width, gif.height];
  }
  const [width, height] = [octets.readUInt32BE(16), octets.readUInt32BE(20)];
  const start = octets.indexOf("IDAT") + 4;
  const rows = inflateSync(octets.subarray(start, start + octets.readUInt32BE(start - 8)));
  const step = Math.ceil(width / 8) + 1;
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let at = 0; at < width * height; at++) {
    const [x, y] = [at % width, Math.floor(at / width)];
    rgba.fill((rows[y * step + 1 + (x >> 3)] >> (7 - (x & 7))) & 1 ? 255 : 0, 4 * at, 4 * at + 3);
  }
  return [rgba, width, height];
}

// The mirror page is UTF-8 whatever the message is in, and says so.
const unnamed = (html) => html.replace(/(<meta[^>]*charset\s*=\s*["']?)[\w:.-]+/gi, "$1");

test("there is a corpus", () => assert.ok(names.length > 70));

for (const name of names) {
  test(name, async () => {
    const expect = JSON.parse(readFileSync(join(golden, "mail", `${name}.json`), "utf8"));
    const mail = await PostalMime.parse(readFileSync(join(golden, "mail", `${name}.eml`)), { attachmentEncoding: "arraybuffer" });

    assert.equal(unified(mail.subject ?? "", expect), unified(expect.subject, expect));
    assert.equal(mail.to[0].address, expect.to);
    if (expect.from) assert.deepEqual([unified(mail.from.name, expect), mail.from.address], [unified(expect.from[0], expect), expect.from[1]]);
    if (expect.reply_to) assert.deepEqual([mail.replyTo[0].name, mail.replyTo[0].address], expect.reply_to);
    assert.equal(new Date(mail.date).toISOString(), "2026-11-26T10:13:00.000Z");

    if (expect.text !== undefined) {
      assert.equal(unified(plainLinks(mail.text, expect), expect), unified(expect.text, expect));
    }
    for (const wanted of expect.text_has ?? []) {
      assert.ok(plainLinks(mail.text, expect).includes(wanted), `the text lacks ${wanted}`);
    }
    const html = mail.html === undefined ? "" : plainLinks(mail.html, expect);
    for (const wanted of expect.html_has ?? []) {
      assert.ok(wanted.split("|").some((one) => html.includes(one)), `the HTML lacks ${wanted}`);
    }
    if (html && expect.html !== undefined && !expect.eight_bit) {
      assert.equal(unified(unnamed(html), expect), unified(unnamed(plainLinks(expect.html, expect)), expect));
    }

    const attached = mail.attachments.filter((one) => one.disposition === "attachment" && one.mimeType !== "text/x-amp-html");
    assert.deepEqual(attached.map((one) => one.filename), (expect.attachments ?? []).map((one) => one.name));
    attached.forEach((one, at) => assert.ok(octets(expect.attachments[at].file).equals(Buffer.from(one.content))));
    const related = mail.attachments.filter((one) => one.contentId);
    related.forEach((one) => assert.ok(html.includes(`cid:${one.contentId.replace(/^<|>$/g, "")}`), `${one.contentId} is not shown`));
    const isCode = (one) => one.contentId.startsWith("<code");
    const codes = related.filter(isCode);
    assert.deepEqual(codes.map((one) => one.mimeType), (expect.codes ?? []).map((one) => one.type));
    codes.forEach((one, at) => {
      const { qr } = expect.codes[at];
      if (qr) assert.equal(jsQR(...pixels(Buffer.from(one.content), one.mimeType))?.data, qr);
    });
    const inline = related.filter((one) => !isCode(one));
    assert.equal(inline.length, (expect.inline ?? []).length);
    inline.forEach((one, at) => assert.ok(octets(expect.inline[at]).equals(Buffer.from(one.content))));
  });
}
