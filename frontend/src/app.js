// What the pages need beyond htmx. Everything here is an addition: without scripts the pages still
// show, links still lead somewhere and forms still post.
(() => {
  "use strict";

  // Dialogs: <button data-dialog="id"> opens, <button data-close> closes.
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) {
      const dialog = document.getElementById(opener.dataset.dialog);
      // Without scripts such a button or link leads to a page that asks the same.
      if (dialog) event.preventDefault();
      if (dialog && !dialog.open) dialog.showModal();
      opener.closest("details.menu")?.removeAttribute("open");
      return;
    }
    const closer = event.target.closest("[data-close]");
    if (closer) closer.closest("dialog")?.close();

    const copier = event.target.closest("[data-copy]");
    if (copier) copy(copier);

    const toggle = event.target.closest("[data-menu]");
    if (toggle) {
      const side = document.querySelector(".side");
      toggle.setAttribute("aria-expanded", String(side.classList.toggle("open")));
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.removeAttribute("open");
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of document.querySelectorAll("details.menu[open]")) {
        menu.removeAttribute("open");
        menu.querySelector("summary")?.focus();
      }
    }
    const writes = document.activeElement?.matches("input, textarea, select, .code-host");
    if (event.key === "/" && !writes) {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
    if (event.key === "s" && (event.ctrlKey || event.metaKey)) {
      const form = document.querySelector("form[data-save]");
      if (form) { event.preventDefault(); form.requestSubmit(); }
    }
  });

  // Tabs that do not fit begin at the one that is open.
  for (const tabs of document.querySelectorAll(".tabs")) {
    const here = tabs.querySelector("[aria-current]");
    if (here) tabs.scrollLeft = here.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - here.offsetWidth) / 2;
  }

  function copy(button) {
    const text = button.dataset.copy;
    const done = () => {
      const before = button.textContent;
      button.textContent = button.dataset.copied;
      setTimeout(() => { button.textContent = before; }, 1500);
    };
    if (navigator.clipboard) { navigator.clipboard.writeText(text).then(done, () => {}); return; }
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    if (document.execCommand("copy")) done();
    area.remove();
  }

  // A source while the editor of editor.js is not there (yet): line numbers, tab key, jump to a problem.
  function editor(box) {
    if (box.dataset.ready || box.classList.contains("coded")) return;
    box.dataset.ready = "1";
    const area = box.querySelector("textarea");
    const gutter = box.querySelector(".gutter");
    const hits = new Set((box.dataset.hits ?? "").split(",").filter(Boolean).map(Number));
    const draw = () => {
      const lines = area.value.split("\n").length;
      if (gutter.childElementCount === lines) return;
      gutter.replaceChildren(...Array.from({ length: lines }, (_, index) => {
        const line = document.createElement("div");
        line.textContent = String(index + 1);
        if (hits.has(index + 1)) line.className = "hit";
        return line;
      }));
    };
    area.addEventListener("input", draw);
    area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
    area.addEventListener("keydown", (event) => {
      // Tab indents; Escape first gives the key back, so that keyboard users can leave the field.
      if (event.key === "Escape") { area.dataset.leave = "1"; return; }
      if (event.key === "Tab" && !event.shiftKey && !area.dataset.leave) {
        event.preventDefault();
        area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
        draw();
      }
    });
    area.addEventListener("blur", () => { delete area.dataset.leave; });
    draw();
  }
  document.addEventListener("click", (event) => {
    const jump = event.target.closest("[data-jump]");
    if (!jump) return;
    const area = document.getElementById(jump.dataset.jump);
    if (!area) return;
    event.preventDefault();
    const line = Number(jump.dataset.line), column = Number(jump.dataset.column || 1);
    const rows = area.value.split("\n");
    const at = rows.slice(0, line - 1).reduce((sum, row) => sum + row.length + 1, 0) + column - 1;
    area.focus();
    area.setSelectionRange(at, at + 1);
    area.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(area).lineHeight));
  });

  // A form that must not be lost by accident says so before the page goes.
  let unsaved = false;
  document.addEventListener("input", (event) => {
    if (event.target.closest("form[data-save]") && !event.target.closest("[data-view-only]")) unsaved = true;
  });
  let leaving = false;
  document.addEventListener("submit", (event) => {
    leaving = !event.defaultPrevented;
    if (leaving) unsaved = false;
  });
  // The source editor saves without leaving the page, and says so.
  document.addEventListener("mailwright:saved", () => { unsaved = false; });
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

  // Choices that show or hide a part: <… data-shows="name=value">.
  function shows() {
    for (const part of document.querySelectorAll("[data-shows]")) {
      const [name, value] = part.dataset.shows.split("=");
      const chosen = document.querySelector(`[name="${name}"]:checked, select[name="${name}"]`);
      part.hidden = chosen ? !value.split("|").includes(chosen.value) : true;
    }
  }
  document.addEventListener("change", shows);

  function ready() {
    document.querySelectorAll(".editor").forEach(editor);
    document.querySelectorAll("dialog[data-open]").forEach((dialog) => { if (!dialog.open) dialog.showModal(); });
    shows();
    times();
  }
  // A stream of progress that came to its end asks for the page that follows.
  document.addEventListener("reload", () => {
    // A form that is on its way brings its own page; loading this one again would stop it.
    if (leaving) return;
    const here = new URL(location.href);
    here.searchParams.delete("done");
    location.replace(here);
  });

  // Times are shown in the zone of the reader's account, else in that of the browser.
  // "en" alone would mean the American order of day and month.
  const locale = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;
  const timeZone = document.documentElement.dataset.zone || undefined;
  const moment = new Intl.DateTimeFormat(locale, { timeZone, day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
  const clock = new Intl.DateTimeFormat(locale, { timeZone, hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  function times() {
    for (const time of document.querySelectorAll("time[datetime]:not([title])")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.title = time.dateTime;
      time.textContent = (time.hasAttribute("data-clock") ? clock : moment).format(at);
    }
  }

  document.addEventListener("DOMContentLoaded", ready);
  document.addEventListener("htmx:after:swap", ready);
})();
