// The preview beside a source: a frame in which no script can run, at the width of a phone or of a desktop.
//
// The frame's document came from the server under a policy of its own (no scripts, no forms); it is sandboxed without
// allow-scripts too. Its content is replaced here instead of being loaded anew, so that the place where the author reads
// does not jump with every key.

const DESKTOP_PX = 700; // what most newsletters are made for, with some room
const PHONE_PX = 375;

export class Preview {
  constructor(box) {
    this.box = box;
    this.frame = box.querySelector("iframe");
    this.text = box.querySelector("pre[data-part=text]");
    this.stage = box.querySelector(".stage");
    this.width = "desktop";
    for (const button of box.querySelectorAll("button[data-width]")) {
      button.addEventListener("click", () => { this.width = button.dataset.width; this.fit(); });
    }
    for (const button of box.querySelectorAll("button[data-part]")) {
      button.addEventListener("click", () => { this.part = button.dataset.part; this.choose(); });
    }
    this.part = box.querySelector("button[data-part][aria-pressed=true]")?.dataset.part ?? "html";
    new ResizeObserver(() => this.fit()).observe(this.stage);
    this.frame?.addEventListener("load", () => { if (this.late) { this.shown = undefined; this.show(this.late); } });
    this.choose();
    this.fit();
  }

  choose() {
    for (const button of this.box.querySelectorAll("button[data-part]")) button.setAttribute("aria-pressed", String(button.dataset.part === this.part));
    if (this.text) this.text.hidden = this.part !== "text";
    this.stage.hidden = this.part !== "html";
    this.fit();
  }

  // A desktop is wider than the pane: the frame keeps its width and is drawn smaller.
  fit() {
    for (const button of this.box.querySelectorAll("button[data-width]")) button.setAttribute("aria-pressed", String(button.dataset.width === this.width));
    const room = this.stage.clientWidth;
    if (!room || !this.frame) return;
    const phone = this.width === "phone";
    this.stage.classList.toggle("phone", phone);
    const width = phone ? Math.min(PHONE_PX, room) : Math.max(DESKTOP_PX, room);
    const scale = Math.min(1, room / width);
    const height = this.stage.clientHeight;
    Object.assign(this.frame.style, {
      width: `${width}px`, height: `${Math.floor(height / scale)}px`, transform: scale < 1 ? `scale(${scale})` : "none", transformOrigin: "0 0",
      marginLeft: phone ? `${Math.max(0, Math.floor((room - width) / 2))}px` : "0",
    });
  }

  show(answer) {
    if (this.text && answer.text !== undefined) this.text.textContent = answer.text;
    const html = answer.html;
    if (html === undefined || html === null || html === this.shown) return;
    const inside = this.frame?.contentDocument;
    // Until the frame's own document is there, what stands in it is under this page's policy.
    if (!inside?.documentElement || inside.URL === "about:blank" || inside.readyState === "loading") { this.late = answer; return; }
    this.late = undefined;
    this.shown = html;
    // Parsed by the frame's own window: a document parsed here would be under this page's policy, which allows no styles.
    const fresh = new inside.defaultView.DOMParser().parseFromString(html, "text/html");
    const { scrollingElement } = inside;
    const [left, top] = [scrollingElement?.scrollLeft ?? 0, scrollingElement?.scrollTop ?? 0];
    inside.replaceChild(inside.adoptNode(fresh.documentElement), inside.documentElement);
    inside.scrollingElement?.scrollTo(left, top);
  }
}
