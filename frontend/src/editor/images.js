// Images that are dropped on, or pasted into, a source: uploaded, then inserted where they were dropped.
import { StateEffect, StateField } from "@codemirror/state";
import { EditorView } from "@codemirror/view";

const begin = StateEffect.define();
const end = StateEffect.define();

// Where uploads will be inserted: places move along while the author writes on.
const places = StateField.define({
  create: () => new Map(),
  update(value, transaction) {
    let next = value;
    const fresh = () => { if (next === value) next = new Map(value); return next; };
    if (transaction.docChanged && value.size) {
      for (const [key, at] of value) fresh().set(key, transaction.changes.mapPos(at, 1));
    }
    for (const effect of transaction.effects) {
      if (effect.is(begin)) fresh().set(effect.value.key, effect.value.at);
      if (effect.is(end)) fresh().delete(effect.value);
    }
    return next;
  },
});

const escaped = (text) => text.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;");

// The tag of an uploaded image; `data-alt` words are the author's to write.
export function imageTag(language, file) {
  const width = file.width ? Math.min(file.width, 600) : 0;
  if (language === "mjml") return `<mj-image src="${escaped(file.reference)}" alt=""${width ? ` width="${width}px"` : ""} />`;
  return `<img src="${escaped(file.reference)}" alt=""${width ? ` width="${width}"` : ""}>`;
}

// `upload(file)` answers { reference, width } or throws; `say(text, bad)` shows how it goes.
export function imageDrop({ language, upload, say, texts }) {
  const take = (view, files, at) => {
    const images = [...files].filter((file) => file.type.startsWith("image/"));
    if (!images.length) return false;
    images.reduce((before, file) => before.then(() => one(view, file, at)), Promise.resolve());
    return true;
  };
  async function one(view, file, at) {
    const key = {};
    view.dispatch({ effects: begin.of({ key, at: Math.min(at, view.state.doc.length) }) });
    say(texts["image-uploading"].replace("{s}", file.name), false);
    try {
      const stored = await upload(file);
      const where = view.state.field(places).get(key);
      const text = imageTag(language, stored);
      view.dispatch({
        changes: { from: where, insert: text },
        selection: { anchor: where + text.indexOf('alt=""') + 5 },
        effects: end.of(key), userEvent: "input.drop", scrollIntoView: true,
      });
      view.focus();
      say(texts["image-uploaded"].replace("{s}", file.name), false);
    } catch (error) {
      view.dispatch({ effects: end.of(key) });
      say(texts["image-refused"].replace("{s}", file.name).replace("{s2}", error.message), true);
    }
  }
  return [
    places,
    EditorView.domEventHandlers({
      dragover: (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); },
      drop: (event, view) => {
        if (!event.dataTransfer?.files.length) return false;
        const at = view.posAtCoords({ x: event.clientX, y: event.clientY }, false);
        // A file that is no image must not replace the page either.
        event.preventDefault();
        take(view, event.dataTransfer.files, at);
        return true;
      },
      paste: (event, view) => {
        // Word processors give a picture beside the text; the text is what was meant then.
        if (event.clipboardData.getData("text/plain")) return false;
        const taken = take(view, event.clipboardData.files, view.state.selection.main.head);
        if (taken) event.preventDefault();
        return taken;
      },
    }),
  ];
}
