// A source editor over a textarea. The textarea stays the form's field: it is hidden, filled whenever its value is asked
// for, and shown again if anything here fails.
//
// The editor stands in a shadow root, where CodeMirror adopts its style sheets as objects: the pages' policy allows no
// style element, and needs no exception for this.
import { closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentLess, indentMore } from "@codemirror/commands";
import { html, htmlLanguage } from "@codemirror/lang-html";
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { drawSelection, dropCursor, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { autocompletion, templateCompletion, templateMarks } from "./template.js";

// Colours are the page's own tokens, which pass into the shadow root, so light and dark stay in step.
const look = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--surface)", fontSize: "0.83rem", height: "100%" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", overflow: "auto" },
  ".cm-content": { padding: "10px 0", caretColor: "var(--ink)" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "var(--code-selection) !important" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--code-line)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--faint)", borderRight: "1px solid var(--line)" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 6px 0 10px" },
  ".cm-foldGutter .cm-gutterElement": { color: "var(--faint)", cursor: "pointer" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--sunken)", border: "1px solid var(--line)", color: "var(--soft)" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--code-selection)", color: "inherit" },
  ".cm-selectionMatch": { backgroundColor: "var(--code-line)" },
  ".cm-searchMatch": { backgroundColor: "var(--warn-wash)", outline: "1px solid var(--warn-mark)" },
  ".cm-field": { color: "var(--code-field)", backgroundColor: "var(--accent-wash)", borderRadius: "3px" },
  ".cm-field *": { color: "inherit !important" },
  ".cm-remark, .cm-remark *": { color: "var(--faint) !important", fontStyle: "italic" },
  ".cm-panels": { backgroundColor: "var(--sunken)", color: "var(--ink)", borderColor: "var(--line)", fontFamily: "var(--font)" },
  ".cm-panels.cm-panels-top, .cm-panels.cm-panels-bottom": { borderColor: "var(--line)" },
  ".cm-panel button": { backgroundImage: "none", backgroundColor: "var(--surface)", border: "1px solid var(--line-strong)", borderRadius: "5px", color: "var(--ink)" },
  ".cm-textfield": { backgroundColor: "var(--surface)", border: "1px solid var(--line-strong)", borderRadius: "5px" },
  ".cm-tooltip": { backgroundColor: "var(--surface)", border: "1px solid var(--line-strong)", borderRadius: "6px", boxShadow: "var(--shadow-high)", color: "var(--ink)", fontFamily: "var(--font)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--accent-ink)" },
  ".cm-diagnostic": { padding: "6px 10px", whiteSpace: "pre-wrap", maxWidth: "460px" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad-mark)" },
  ".cm-diagnostic-warning": { borderLeftColor: "var(--warn-mark)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad-mark) 1px", textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--warn-mark) 1px", textUnderlineOffset: "3px" },
  // The marks of the library are pictures as data; ours are drawn, so that they follow the colours.
  ".cm-lint-marker": { content: "none", width: "0.8em", height: "0.8em", borderRadius: "50%", margin: "0.35em auto 0", backgroundColor: "var(--warn-mark)" },
  ".cm-lint-marker-error": { content: "none", backgroundColor: "var(--bad-mark)", borderRadius: "2px" },
  ".cm-gutter-lint": { width: "1.3em" },
});

const colours = HighlightStyle.define([
  { tag: [tags.tagName, tags.angleBracket], color: "var(--code-tag)" },
  { tag: [tags.attributeName, tags.propertyName], color: "var(--code-name)" },
  { tag: [tags.attributeValue, tags.string, tags.number, tags.color, tags.unit], color: "var(--code-value)" },
  { tag: [tags.comment, tags.documentMeta, tags.processingInstruction], color: "var(--faint)", fontStyle: "italic" },
  { tag: [tags.keyword, tags.atom, tags.bool, tags.className, tags.character], color: "var(--code-name)" },
]);

// Tab indents; Escape first gives the key back, so that keyboard users can leave the field.
function tabKey() {
  let leave = false;
  return [
    EditorView.domEventHandlers({
      keydown: (event) => { if (event.key === "Escape") leave = true; else if (event.key !== "Tab" && event.key !== "Shift") leave = false; },
      blur: () => { leave = false; },
    }),
    keymap.of([{
      key: "Tab",
      run: (view) => {
        if (leave) return false;
        if (!view.state.selection.main.empty) return indentMore(view);
        view.dispatch(view.state.replaceSelection("  "), { userEvent: "input", scrollIntoView: true });
        return true;
      },
      shift: (view) => (leave ? false : indentLess(view)),
    }]),
  ];
}

// The server counts columns in characters, CodeMirror in UTF-16 units: an emoticon is one there and two here.
function placeOf(line, column) {
  let at = 0;
  for (let left = column - 1; left > 0 && at < line.text.length; left--) at += line.text.codePointAt(at) > 0xffff ? 2 : 1;
  return line.from + at;
}

// Makes an editor of `box`, an element with a textarea in it.
// `known`: names for completion; `extensions`: more of CodeMirror's; `changed`: called after each change by the author.
export function code(box, { known, extensions = [], changed = () => {} }) {
  const area = box.querySelector("textarea");
  const marked = box.dataset.language === "html" || box.dataset.language === "mjml";
  const host = document.createElement("div");
  host.className = "code-host";
  const root = host.attachShadow({ mode: "open" });
  const complete = templateCompletion(known);
  let dirty = false;
  const language = marked
    ? [html({ selfClosingTags: true, matchClosingTags: false, autoCloseTags: false }), htmlLanguage.data.of({ autocomplete: complete }), bracketMatching(), foldGutter(), EditorView.lineWrapping]
    : [EditorState.languageData.of(() => [{ autocomplete: complete }]), EditorView.lineWrapping];
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: area.value,
      extensions: [
        lineNumbers(), highlightActiveLineGutter(), history(), drawSelection(), dropCursor(), highlightActiveLine(), indentOnInput(), closeBrackets(),
        autocompletion(), highlightSelectionMatches(), lintGutter(), templateMarks, indentUnit.of("  "), EditorState.tabSize.of(2),
        EditorState.readOnly.of(area.matches(":disabled")), EditorView.editable.of(!area.matches(":disabled")),
        syntaxHighlighting(colours), look, language, tabKey(), extensions,
        keymap.of([...closeBracketsKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap, ...defaultKeymap]),
        EditorView.contentAttributes.of({ "aria-label": box.dataset.label ?? "", "aria-multiline": "true", spellcheck: "false" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) { dirty = true; changed(update); }
        }),
      ],
    }),
  });
  // The name in the page's outline: a click on the label goes into the editor.
  document.querySelector(`label[for="${area.id}"]`)?.addEventListener("click", (event) => { event.preventDefault(); view.focus(); });
  box.classList.add("coded");
  area.hidden = true;
  area.after(host);
  // Heights of lines are measured; they change when the page's fonts arrive, and when a folded part is opened.
  document.fonts?.ready.then(() => view.requestMeasure());
  box.closest("details")?.addEventListener("toggle", () => view.requestMeasure());

  return {
    view,
    area,
    name: area.name,
    // Puts the text into the form's field; answers whether it differed.
    settle() {
      if (!dirty) return false;
      dirty = false;
      area.value = view.state.doc.toString();
      return true;
    },
    // Shows findings: `line` and `column` count from 1; line 0 has no place.
    show(findings) {
      const { doc } = view.state;
      const diagnostics = findings.filter((one) => one.line > 0 && one.line <= doc.lines).map((one) => {
        const line = doc.line(one.line);
        const from = placeOf(line, one.column);
        const word = view.state.wordAt(from);
        const to = word && word.from === from ? word.to : Math.min(from + 1, line.to);
        return { from, to: Math.max(from, to), severity: one.level, message: one.hint ? `${one.message}\n${one.hint}` : one.message };
      });
      view.dispatch(setDiagnostics(view.state, diagnostics));
    },
    jump(line, column) {
      const { doc } = view.state;
      const at = doc.line(Math.min(Math.max(1, line), doc.lines));
      const anchor = placeOf(at, column);
      view.dispatch({ selection: { anchor }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
      view.focus();
    },
    insert(text) {
      view.dispatch(view.state.replaceSelection(text), { userEvent: "input.paste", scrollIntoView: true });
      view.focus();
    },
  };
}
