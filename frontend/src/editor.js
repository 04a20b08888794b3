// The pages with a source: editors over the textareas, pickers, uploads, and what lives with them.
import { code } from "./editor/code.js";
import { imageDrop, imageTag } from "./editor/images.js";
import { Live } from "./editor/live.js";
import { Preview } from "./editor/preview.js";

function start() {
  const form = document.querySelector("form[data-known]");
  jumps([]);
  const previews = [...document.querySelectorAll("[data-preview]")].map((box) => new Preview(box));
  if (!form) return;
  const known = JSON.parse(form.dataset.known);
  const texts = JSON.parse(form.dataset.texts);
  const say = (text, bad) => {
    const state = document.getElementById("save-state");
    if (state) { state.dataset.kind = bad ? "bad" : "busy"; state.textContent = text; }
  };
  let live = null;
  const upload = (file) => {
    const edit = () => send(form.dataset.upload, file, texts);
    return live ? live.between(edit) : edit();
  };

  const editors = [];
  for (const box of form.querySelectorAll(".editor")) {
    const language = box.dataset.language ?? "text";
    const takesImages = form.dataset.upload && language !== "text";
    try {
      const editor = code(box, {
        known,
        extensions: takesImages ? imageDrop({ language, upload, say, texts }) : [],
        changed: () => editor.area.dispatchEvent(new Event("input", { bubbles: true })),
      });
      editor.box = box;
      editor.language = language;
      editors.push(editor);
      const hits = JSON.parse(box.dataset.findings ?? "[]");
      if (hits.length) editor.show(hits);
    } catch (error) {
      // The textarea is still there, and does.
      console.warn("the source editor could not start:", error);
    }
  }

  if (form.dataset.live) live = new Live(form, editors, texts);
  if (live) live.preview = previews[0];
  else form.addEventListener("submit", () => editors.forEach((editor) => editor.settle()));

  pickers(form, editors);
  jumps(editors);
  // A finding on another page led here: #at=html:37:1.
  const at = location.hash.match(/^#at=(\w+):(\d+):(\d+)$/);
  const named = at && editors.find((editor) => editor.name === at[1]);
  if (named) requestAnimationFrame(() => lead(named, Number(at[2]), Number(at[3])));
  document.querySelectorAll("input[type=file][data-insert-image]").forEach((input) => {
    input.addEventListener("change", async () => {
      const editor = visible(editors);
      for (const file of input.files) {
        say(texts["image-uploading"].replace("{s}", file.name), false);
        try {
          editor?.insert(imageTag(editor.language, await upload(file)));
          say(texts["image-uploaded"].replace("{s}", file.name), false);
        } catch (error) {
          say(texts["image-refused"].replace("{s}", file.name).replace("{s2}", error.message), true);
        }
      }
      input.value = "";
    });
  });
  for (const element of document.querySelectorAll("[data-needs-script]")) element.hidden = false;
}

async function send(address, file, texts) {
  const body = new FormData();
  body.append("file", file, file.name || "image.png");
  let response;
  try {
    response = await fetch(address, { method: "POST", body, redirect: "manual", headers: { accept: "application/json" } });
  } catch { throw new Error(texts["unreached"]); }
  if (response.type === "opaqueredirect") throw new Error(texts["signed-out"]);
  const answer = await response.json().catch(() => null);
  if (!answer) throw new Error(texts["unreached"]);
  if (!response.ok) throw new Error(answer.detail ?? texts["unreached"]);
  return answer;
}

const visible = (editors) => editors.find((editor) => editor.language !== "text" && editor.box.offsetParent !== null) ?? editors[0];

// Fields, blocks, links and emoticons go to where the author wrote last: a source, or a line such as the subject.
function pickers(form, editors) {
  let target = null;
  for (const editor of editors) editor.view.contentDOM.addEventListener("focus", () => { target = editor; });
  for (const input of form.querySelectorAll("[data-insertable]")) input.addEventListener("focus", () => { target = input; });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-insert]");
    if (!button) return;
    event.preventDefault();
    button.closest("details")?.removeAttribute("open");
    const plain = button.dataset.insertText ?? button.dataset.insert;
    if (target instanceof HTMLInputElement) {
      target.setRangeText(plain, target.selectionStart, target.selectionEnd, "end");
      target.dispatchEvent(new Event("input", { bubbles: true }));
      target.focus();
      return;
    }
    const editor = target && target.box.offsetParent !== null ? target : visible(editors);
    editor?.insert(editor.language === "text" ? plain : button.dataset.insert);
  });
}

function lead(editor, line, column) {
  editor.box.closest("details")?.setAttribute("open", "");
  editor.jump(line, column);
}

// A finding in the list leads to its line; from a page without the source, to the page that has it.
let writing = [];
function jumps(editors) {
  const first = !jumps.listens;
  writing = editors;
  jumps.listens = true;
  if (!first) return;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-jump]");
    if (!link) return;
    const [part, line, column] = [link.dataset.jump, Number(link.dataset.line), Number(link.dataset.column || 1)];
    const editor = writing.find((one) => one.name === part);
    const content = document.querySelector(".tabs a[href$='/content']");
    if (!editor && (writing.length || !content)) return;
    event.preventDefault();
    event.stopPropagation();
    if (editor) lead(editor, line, column);
    else location.assign(`${content.href}#at=${part}:${line}:${column}`);
  }, true);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
