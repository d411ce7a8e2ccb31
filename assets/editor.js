// The dashboard's editor: CodeMirror for JavaScript, around a textarea that stays what the form sends.
import {autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap} from "@codemirror/autocomplete";
import {defaultKeymap, history, historyKeymap, indentWithTab} from "@codemirror/commands";
import {bracketMatching, HighlightStyle, indentOnInput, StreamLanguage, syntaxHighlighting} from "@codemirror/language";
import {javascript} from "@codemirror/legacy-modes/mode/javascript";
import {lintKeymap, setDiagnostics} from "@codemirror/lint";
import {EditorState} from "@codemirror/state";
import {drawSelection, EditorView, highlightActiveLine, highlightSpecialChars, keymap, lineNumbers} from "@codemirror/view";
import {tags} from "@lezer/highlight";

const colors = HighlightStyle.define([
  {tag: [tags.keyword, tags.controlKeyword, tags.definitionKeyword, tags.moduleKeyword], color: "var(--code-keyword)"},
  {tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--code-string)"},
  {tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--code-number)"},
  {tag: [tags.comment], color: "var(--dim)", fontStyle: "italic"},
  {tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], color: "var(--code-name)"},
  {tag: [tags.invalid], color: "var(--red)"},
]);

const looks = EditorView.theme({
  "&": {color: "var(--text)", backgroundColor: "var(--raised)", fontSize: "13px", height: "100%"},
  ".cm-scroller": {fontFamily: "var(--mono)", lineHeight: "1.55"},
  ".cm-content": {caretColor: "var(--text)", padding: "8px 0"},
  "&.cm-focused": {outline: "2px solid var(--teal)", outlineOffset: "1px"},
  ".cm-cursor, .cm-dropCursor": {borderLeftColor: "var(--text)"},
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  ".cm-activeLine, .cm-activeLineGutter": {backgroundColor: "var(--hover)"},
  ".cm-gutters": {color: "var(--dim)", backgroundColor: "var(--raised)", borderRight: "1px solid var(--line)"},
  ".cm-matchingBracket": {backgroundColor: "var(--selection)", outline: "none"},
  ".cm-tooltip": {color: "var(--text)", backgroundColor: "var(--raised)", border: "1px solid var(--edge)", maxWidth: "32rem"},
  ".cm-tooltip-autocomplete ul li[aria-selected]": {color: "var(--on-teal)", backgroundColor: "var(--teal)"},
  ".cm-diagnostic-error": {borderLeftColor: "var(--red)"},
  ".cm-diagnostic-warning": {borderLeftColor: "var(--copper)"},
  ".cm-diagnostic-info": {borderLeftColor: "var(--teal)"},
  ".cm-lintRange-error": {backgroundImage: "none", textDecoration: "underline wavy var(--red)"},
  ".cm-lintRange-warning": {backgroundImage: "none", textDecoration: "underline wavy var(--copper)"},
  ".cm-lintRange-info": {backgroundImage: "none", textDecoration: "underline dotted var(--teal)"},
});

// What is in reach inside a handler.
const WORDS = ["handler", "webhook", "eventType", "payload", "data", "headers", "env", "cancel", "transformationsParams", "customer", "facts"];
const HELPERS = [
  ["nicobar.money(minorUnits, currency)", "nicobar.money("],
  ["nicobar.unix(isoText)", "nicobar.unix("],
  ["nicobar.event(name, attributes)", "nicobar.event("],
  ["nicobar.identify(attributes)", "nicobar.identify("],
];

function complete(context) {
  const word = context.matchBefore(/[\w.]+/);
  if (!word || (word.from === word.to && !context.explicit)) return null;
  return {
    from: word.from,
    options: [
      ...WORDS.map((label) => ({label, type: "variable"})),
      ...HELPERS.map(([label, apply]) => ({label, apply, type: "function"})),
    ],
  };
}

/** Puts an editor in the place of `area`. It lives in a shadow root: its styles are sheets of that root, so the page's
 * content policy needs no exception. Returns `{mark, reveal}`: `mark([{line, level, text}])` underlines lines,
 * `reveal(line)` goes to one. */
export function edit(area, onChange) {
  const host = document.createElement("div");
  host.className = "editor";
  area.after(host);
  const root = host.attachShadow({mode: "open"});
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: area.value,
      extensions: [
        lineNumbers(), highlightSpecialChars(), history(), drawSelection(), indentOnInput(), bracketMatching(),
        closeBrackets(), highlightActiveLine(),
        // The stream parser highlights; what is wrong with the code, the sandbox itself says. Its grammar is 90 KB less.
        StreamLanguage.define(javascript), syntaxHighlighting(colors), looks,
        autocompletion({override: [complete]}),
        keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap,
          // Escape, then Tab, leaves the editor: https://codemirror.net/examples/tab/.
          indentWithTab]),
        EditorState.tabSize.of(2),
        EditorView.contentAttributes.of({"aria-label": area.getAttribute("aria-label") ?? "", spellcheck: "false", tabindex: "0"}),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          area.value = view.state.doc.toString();
          onChange();
        }),
      ],
    }),
  });
  area.hidden = true;
  const lineOf = (number) => view.state.doc.line(Math.min(Math.max(number, 1), view.state.doc.lines));
  return {
    mark(found) {
      const marks = found.map(({line, level, text}) => {
        // What is missing at the end is told of an empty line; the one before it can be underlined.
        let at = lineOf(line);
        while (at.number > 1 && !at.text.trim()) at = lineOf(at.number - 1);
        const indent = at.text.length - at.text.trimStart().length;
        return {from: at.from + indent, to: Math.max(at.to, at.from + indent), severity: level, message: text};
      });
      view.dispatch(setDiagnostics(view.state, marks.sort((one, other) => one.from - other.from)));
    },
    reveal(line) {
      const at = lineOf(line);
      view.dispatch({selection: {anchor: at.from}, effects: EditorView.scrollIntoView(at.from, {y: "center"})});
      view.focus();
    },
  };
}
