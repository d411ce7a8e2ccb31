// The code page: an editor in the place of the textarea, and what is said of the code as one types.
const WAIT_MS = 400;
const area = document.getElementById("code");
const form = document.getElementById("code-form");
const notes = document.getElementById("notes");
const here = document.querySelector("script[data-editor]");
let editor = null;
let timer = 0;
let asked = 0;

async function check() {
  const mine = ++asked;
  const fields = new URLSearchParams(new FormData(form));
  try {
    const answer = await fetch(form.dataset.notes, {method: "POST", body: fields, redirect: "error"});
    if (!answer.ok) throw new Error(answer.statusText);
    const {html, marks} = await answer.json();
    if (mine !== asked) return;
    notes.innerHTML = html;
    editor?.mark(marks);
  } catch {
    if (mine === asked) notes.textContent = notes.dataset.failed;
  }
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(check, WAIT_MS);
}

notes.addEventListener("click", (event) => {
  const link = event.target.closest("[data-line]");
  if (!link || !editor) return;
  event.preventDefault();
  editor.reveal(Number(link.dataset.line));
});
document.getElementById("variables").addEventListener("input", soon);
area.addEventListener("input", soon);

const {edit} = await import(here.dataset.editor);
editor = edit(area, soon);
check();
