// The code page: replaces the textarea by an editor, saves the code as a draft while the user types, and shows the
// verdicts beside it. Leaving the page never loses code.
const WAIT_MS = 400;
const RETRY_MS = 3000;
const area = document.getElementById("code");
const variables = document.getElementById("variables");
const form = document.getElementById("code-form");
const notes = document.getElementById("notes");
const conflict = document.getElementById("conflict");
const status = document.getElementById("saved");
const checking = document.getElementById("checking");
const here = document.querySelector("script[data-editor]");
let editor = null;
let timer = 0;
let asked = 0;
let saving = null; // the save under way: one at a time, so that none overtakes another
let isLeaving = false;
let passed = null; // the form to submit once its text is saved

const text = () => JSON.stringify([area.value, variables.value]);
const fields = () => new URLSearchParams(new FormData(form));
let saved = "unsaved" in form.dataset ? null : text();

const isUnsaved = () => text() !== saved;
const isInConflict = () => conflict.childElementCount > 0;
const say = (message) => { if (status.textContent !== message) status.textContent = message; };

/** Saves the text; returns "saved", "problem" for invalid variables, "conflict" or "failed". */
async function post() {
  const now = text();
  try {
    const answer = await fetch(form.dataset.text, {method: "POST", body: fields(), redirect: "error"});
    if (answer.status === 409) {
      conflict.innerHTML = (await answer.json()).html;
      say("");
      return "conflict";
    }
    if (!answer.ok) throw new Error(answer.statusText);
    const {seen, problem} = await answer.json();
    form.elements.seen.value = seen;
    if (!problem) saved = now;
    say(problem || status.dataset.saved);
    return problem ? "problem" : "saved";
  } catch {
    say(status.dataset.failed);
    setTimeout(save, RETRY_MS);
    return "failed";
  }
}

async function save() {
  while (saving) await saving;
  if (!isUnsaved()) return "saved";
  if (isInConflict()) return "conflict";
  say(status.dataset.saving);
  saving = post();
  const result = await saving;
  saving = null;
  // Typed in the meantime.
  return result === "saved" && isUnsaved() ? save() : result;
}

async function check() {
  const mine = ++asked;
  checking.hidden = false;
  try {
    const answer = await fetch(form.dataset.notes, {method: "POST", body: fields(), redirect: "error"});
    if (!answer.ok) throw new Error(answer.statusText);
    const {html, marks} = await answer.json();
    if (mine !== asked) return;
    notes.innerHTML = html;
    editor?.mark(marks);
  } catch {
    if (mine === asked) notes.textContent = notes.dataset.failed;
  }
  if (mine === asked) checking.hidden = true;
}

function soon() {
  checking.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { save(); check(); }, WAIT_MS);
}

notes.addEventListener("click", (event) => {
  const link = event.target.closest("[data-line]");
  if (!link || !editor) return;
  event.preventDefault();
  editor.reveal(Number(link.dataset.line));
});
variables.addEventListener("input", soon);
area.addEventListener("input", soon);

// Links wait until the text is saved; if saving fails, the browser asks for confirmation.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || !isUnsaved()) return;
  if (link.origin !== location.origin || (link.hash && link.pathname === location.pathname)) return;
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || link.target) {
    save();
    return;
  }
  event.preventDefault();
  await save();
  location.href = link.href;
});

// So do forms, including this page's own: `seen` must name the latest saved text.
document.addEventListener("submit", async (event) => {
  const {target, submitter} = event;
  if (target.method === "dialog") return;
  const isOwn = target === form;
  if (target === passed || !isUnsaved() || (isOwn && isInConflict())) {
    isLeaving ||= isOwn;
    return;
  }
  event.preventDefault();
  const result = await save();
  if (isOwn && result === "failed") return;
  if (isOwn && result === "conflict") {
    conflict.scrollIntoView({block: "nearest"});
    return;
  }
  isLeaving = isOwn;
  passed = target;
  target.requestSubmit(submitter);
  passed = null;
});

addEventListener("beforeunload", (event) => {
  if (!isLeaving && isUnsaved()) event.preventDefault();
});
// A page from the browser's cache may show an older text than the saved one.
addEventListener("pageshow", (event) => {
  isLeaving = false;
  if (event.persisted && !isUnsaved()) location.reload();
});

const {edit} = await import(here.dataset.editor);
editor = edit(area, soon);
check();
