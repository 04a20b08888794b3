// Template tags inside a source: {{ field }}, {% if %} and {# remark #} are marked, and completed while typing.
import { autocompletion, completeFromList } from "@codemirror/autocomplete";
import { Decoration, MatchDecorator, ViewPlugin } from "@codemirror/view";

const TAGS = /\{\{[\s\S]*?\}\}|\{%[\s\S]*?%\}|\{#[\s\S]*?#\}/g;

const marks = new MatchDecorator({
  regexp: TAGS,
  decoration: (match) => Decoration.mark({ class: match[0][1] === "#" ? "cm-remark" : "cm-field" }),
});

export const templateMarks = ViewPlugin.fromClass(
  class {
    constructor(view) { this.decorations = marks.createDeco(view); }
    update(update) { this.decorations = marks.updateDeco(update, this.decorations); }
  },
  { decorations: (plugin) => plugin.decorations },
);

const WORDS = ["if", "elif", "else", "endif", "for", "endfor", "set", "include", "raw", "endraw"];
const FILTERS = ["default", "upper", "lower", "title", "capitalize", "date", "datetime", "number", "money", "urlencode", "proper", "length", "join", "replace", "round", "trim"];

// What may stand at the cursor: `known` has the names of fields, blocks and links.
export function templateCompletion(known) {
  const fields = known.fields.concat(known.links);
  return (context) => {
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    const open = Math.max(before.lastIndexOf("{{"), before.lastIndexOf("{%"));
    if (open < 0 || before.slice(open).includes("}}") || before.slice(open).includes("%}")) return null;
    const inside = before.slice(open + 2);
    const word = inside.match(/[\w.]*$/)[0];
    const quoted = inside.match(/(?:include|block\()\s*["']([^"']*)$/);
    if (quoted) {
      return { from: context.pos - quoted[1].length, options: known.blocks.map((label) => ({ label, type: "text" })) };
    }
    const from = context.pos - word.length;
    if (/\|\s*\w*$/.test(inside)) return { from, options: FILTERS.map((label) => ({ label, type: "function" })), validFor: /^\w*$/ };
    const options = fields.map((label) => ({ label, type: "variable" }));
    if (before[open + 1] === "%") options.push(...WORDS.map((label) => ({ label, type: "keyword" })));
    if (!word && !context.explicit && !/\s$/.test(inside)) return null;
    return { from, options, validFor: /^[\w.]*$/ };
  };
}

export { autocompletion, completeFromList };
