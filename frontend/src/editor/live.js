// What keeps a content page in step with the server while its author writes: saves after each pause, shows findings at
// their lines, renews the preview, and tells of others who edit the same.
//
// The text is never thrown away here: whatever goes wrong, it stays in the page and is sent again.

const PAUSE_MS = 700; // after the last key
const WAIT_MAX_MS = 4_000; // after the first key, when there is no pause
const RETRY_MS = [2_000, 5_000, 10_000, 30_000];
const ANSWER_MS_MAX = 25_000;
const PRESENCE_MS = 8_000;

export class Live {
  constructor(form, editors, texts) {
    this.form = form;
    this.editors = editors;
    this.texts = texts;
    this.autosaves = form.hasAttribute("data-autosave");
    this.changed = false; // something is not saved
    this.busy = false;
    this.again = false;
    this.failures = 0;
    this.held = false; // somebody else saved: the author decides first
    this.state = document.getElementById("save-state");
    this.tab = Math.random().toString(36).slice(2, 12);
    form.addEventListener("input", (event) => this.touched(event));
    form.addEventListener("change", (event) => this.touched(event));
    form.addEventListener("submit", (event) => this.submitted(event));
    window.addEventListener("online", () => { if (this.changed) this.soon(0); });
    document.addEventListener("visibilitychange", () => { if (document.hidden && this.changed) this.soon(0); });
    if (form.dataset.presence) {
      this.meet();
      window.addEventListener("pagehide", () => navigator.sendBeacon(form.dataset.presence, new URLSearchParams({ tab: this.tab, gone: "1" })));
    }
  }

  touched(event) {
    // Whom the preview is for is nothing to save.
    if (event.target.closest("[data-view-only]")) { if (event.type === "change") this.soon(0); return; }
    // A press of Enter in CodeMirror's own search field is no change of the source.
    if (!event.target.name) return;
    this.changed = true;
    if (this.autosaves && !this.held) this.say("unsaved", this.texts["unsaved"]);
    this.first ??= Date.now();
    this.soon(Math.max(0, Math.min(PAUSE_MS, this.first + WAIT_MAX_MS - Date.now())));
  }

  submitted(event) {
    if (!this.autosaves || event.submitter?.hasAttribute("data-leaves")) { this.settle(); return; }
    event.preventDefault();
    this.changed = true;
    this.soon(0);
  }

  settle() { for (const editor of this.editors) editor.settle(); }

  soon(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(), ms);
  }

  async run() {
    if (this.busy) { this.again = true; return; }
    this.busy = true;
    this.first = undefined;
    this.settle();
    const saves = this.autosaves && this.changed && !this.held;
    const body = new URLSearchParams(new FormData(this.form));
    if (saves) { body.set("save", "1"); body.set("tab", this.tab); this.say("busy", this.texts["saving"]); }
    // What is typed from here on is of the next round.
    this.changed = this.changed && !saves;
    try {
      const answer = await this.ask(body);
      this.failures = 0;
      this.take(answer, saves);
    } catch (error) {
      if (saves) this.changed = true;
      this.failures += 1;
      this.say("bad", this.texts["failed"].replace("{s}", error.message));
      this.soon(RETRY_MS[Math.min(this.failures, RETRY_MS.length) - 1]);
    } finally {
      this.busy = false;
      if (this.again) { this.again = false; this.soon(PAUSE_MS); }
    }
  }

  // An upload is an edit too. It goes between two saves, and the form follows to the revision that it made, unless
  // somebody else saved in between: then the next save finds that out.
  async between(edit) {
    while (this.busy) await new Promise((resolve) => { setTimeout(resolve, 40); });
    this.busy = true;
    try {
      const answer = await edit();
      const { revision } = this.form.elements;
      if (answer.revision && String(answer.based_on) === revision.value) revision.value = answer.revision;
      return answer;
    } finally {
      this.busy = false;
      if (this.again) { this.again = false; this.soon(PAUSE_MS); }
    }
  }

  async ask(body) {
    let response;
    try {
      response = await fetch(this.form.dataset.live, {
        method: "POST", body, redirect: "manual", headers: { accept: "application/json" }, signal: AbortSignal.timeout(ANSWER_MS_MAX),
      });
    } catch { throw new Error(this.texts["unreached"]); }
    // A redirect is the way to the sign-in page.
    if (response.type === "opaqueredirect") throw new Error(this.texts["signed-out"]);
    const answer = await response.json().catch(() => null);
    if (!answer) throw new Error(this.texts["unreached"]);
    if (!response.ok) throw new Error(answer.detail ?? this.texts["unreached"]);
    return answer;
  }

  take(answer, saves) {
    if (saves && answer.conflict) {
      this.changed = true;
      this.held = true;
      this.theirs = answer.revision;
      this.say("bad", this.texts["held"]);
      this.conflict(answer.conflict);
    } else if (saves && answer.refused) {
      this.changed = true;
      this.say("bad", this.texts["failed"].replace("{s}", answer.refused));
    } else if (saves) {
      this.form.elements.revision.value = answer.revision;
      if (!this.changed) {
        this.say("ok", this.texts["saved"].replace("{s}", new Date().toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })));
        document.dispatchEvent(new Event("mailwright:saved"));
      }
    }
    for (const editor of this.editors) editor.show((answer.findings ?? []).filter((one) => one.part === editor.name));
    // Made by the server from the same template as the page's own list.
    place("findings", answer.list);
    place("preview-head", answer.head);
    place("preview-note", answer.note);
    const note = document.getElementById("preview-note");
    if (note) note.hidden = !answer.note;
    for (const input of this.form.querySelectorAll("[data-problem]")) {
      const problem = (answer.findings ?? []).find((one) => one.level === "error" && one.part === input.dataset.problem);
      if (problem) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
      const said = document.getElementById(`problem-${input.dataset.problem}`);
      if (said) { said.textContent = problem?.message ?? ""; said.hidden = !problem; }
    }
    this.preview?.show(answer);
  }

  say(kind, text) {
    if (!this.state) return;
    this.state.dataset.kind = kind;
    this.state.textContent = text;
  }

  // Somebody else saved meanwhile. Both versions exist; the author says which one counts.
  conflict(text) {
    const bar = document.getElementById("conflict");
    if (!bar) return;
    bar.hidden = false;
    bar.querySelector("[data-conflict-text]").textContent = text;
    bar.querySelector("[data-conflict=mine]").onclick = () => {
      this.form.elements.revision.value = this.theirs;
      this.held = false;
      bar.hidden = true;
      this.changed = true;
      this.soon(0);
    };
    bar.querySelector("[data-conflict=theirs]").onclick = () => {
      this.changed = false;
      document.dispatchEvent(new Event("mailwright:saved"));
      location.reload();
    };
  }

  // Who else is here, and whether somebody saved. Asked only while the page is seen.
  async meet() {
    try {
      if (!document.hidden) {
        const body = new URLSearchParams({ tab: this.tab, revision: this.form.elements.revision.value });
        const response = await fetch(this.form.dataset.presence, { method: "POST", body, redirect: "manual" });
        const answer = response.ok ? await response.json() : null;
        if (answer) this.met(answer);
      }
    } catch { /* The next round says it; saving has its own words for a server that is away. */ }
    setTimeout(() => this.meet(), PRESENCE_MS);
  }

  met(answer) {
    const note = document.getElementById("presence");
    if (note) { note.hidden = !answer.others; note.querySelector("[data-presence-text]").textContent = answer.others; }
    const newer = answer.newer && !this.busy && !this.held && Number(answer.revision) > Number(this.form.elements.revision.value);
    if (!newer) return;
    this.held = true;
    this.theirs = answer.revision;
    this.say("bad", this.texts["held"]);
    this.conflict(answer.newer);
  }
}

function place(id, markup) {
  const element = document.getElementById(id);
  if (element && markup !== undefined && element.innerHTML !== markup) element.innerHTML = markup;
}
