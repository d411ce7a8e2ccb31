// Progressive enhancement for all pages: copy buttons, list filters, local times, shortcuts, and polling for an event.
"use strict";
(() => {
  const POLL_MS = 1000;
  const PREVIEW_MS = 150;

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    const was = button.innerHTML;
    button.textContent = button.dataset.done;
    setTimeout(() => { button.innerHTML = was; }, 1500);
  });

  for (const field of document.querySelectorAll("[data-filter]")) {
    const list = document.getElementById(field.dataset.filter);
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      let shown = 0;
      for (const item of list.children) {
        item.hidden = !item.dataset.text.includes(wanted);
        shown += item.hidden ? 0 : 1;
      }
      document.getElementById(`${list.id}-none`).hidden = shown > 0;
    });
  }

  // On a phone the navigation and the tabs scroll: the current entry is brought into view.
  for (const current of document.querySelectorAll("nav li > [aria-current]:not([aria-current=false])")) {
    current.scrollIntoView({block: "nearest", inline: "nearest"});
  }

  // Like the server's times, but in the viewer's zone.
  const localTime = new Intl.DateTimeFormat(document.documentElement.lang, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
  });
  function localTimes(root) {
    for (const one of root.querySelectorAll("time[datetime]")) {
      one.title = `${localTime.format(new Date(one.dateTime))} · ${one.title || one.textContent}`;
    }
  }
  /** Enables the parts of new content that need this script. */
  function dress(root) {
    localTimes(root);
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  }
  dress(document);
  document.addEventListener("renewed", (event) => dress(event.target));

  /** The key on the keyboard, even if a Korean input method turns it into another letter. */
  function keyOf(event) {
    if (/^[ -~]$/.test(event.key)) return event.key;
    if (/^Key[A-Z]$/.test(event.code)) return event.code.slice(3).toLowerCase();
    if (event.code === "Slash") return event.shiftKey ? "?" : "/";
    return event.key;
  }

  // The shortcuts dialog; closing it returns the focus automatically.
  const keys = document.getElementById("keys");
  const showKeys = (event) => { if (keys) { event.preventDefault(); if (!keys.open) keys.showModal(); } };
  document.querySelector("[data-keys]")?.addEventListener("click", showKeys);

  // `g` and a letter opens a page, `/` focuses the search, `?` shows the shortcuts.
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.composedPath()[0].matches?.("input, textarea, select, [contenteditable]")) return;
    const key = keyOf(event);
    if (key === "?") showKeys(event);
    if (key === "/") {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
    if (isGoing) document.querySelector(`.side [data-key="${CSS.escape(key)}"]`)?.click();
    isGoing = key === "g";
  });

  /** Replaces one part of this page by its current content. */
  async function renew(id) {
    const text = await (await fetch(location.href, {cache: "no-store", redirect: "error"})).text();
    const part = document.getElementById(id);
    part.replaceChildren(...new DOMParser().parseFromString(text, "text/html").getElementById(id).childNodes);
    dress(part);
  }

  // An answer is previewed while it is chosen, as by the button of the form.
  for (const form of document.querySelectorAll("[data-previews]")) {
    for (const button of form.querySelectorAll(".no-script")) button.hidden = true;
    let latest = 0;
    form.addEventListener("input", async (event) => {
      // A user who types a name means the answer that it belongs to.
      if (event.target.name === "key") form.querySelector("[value=metadata]").checked = true;
      const number = ++latest;
      await new Promise((resolve) => { setTimeout(resolve, PREVIEW_MS); });
      if (number !== latest) return;
      const answers = new URLSearchParams([...new FormData(form)]);
      const answer = await fetch(`${form.dataset.previews}?${answers}`, {cache: "no-store", redirect: "error"});
      const text = await answer.text();
      if (!answer.ok || number !== latest) return;
      const part = document.getElementById("preview");
      part.replaceChildren(...new DOMParser().parseFromString(text, "text/html").getElementById("preview").childNodes);
      history.replaceState(null, "", `${form.dataset.previews}?${answers}`);
    });
  }

  // A family's checkbox checks its types, and shows whether all, some or none are checked.
  for (const whole of document.querySelectorAll("[data-all]")) {
    const parts = [...whole.closest("fieldset").querySelectorAll("input[type=checkbox]:not([data-all])")];
    const show = () => {
      const checked = parts.filter((part) => part.checked).length;
      whole.checked = checked === parts.length;
      whole.indeterminate = checked > 0 && !whole.checked;
    };
    whole.addEventListener("change", () => { for (const part of parts) part.checked = whole.checked; show(); });
    for (const part of parts) part.addEventListener("change", show);
    show();
  }

  for (const part of document.querySelectorAll("[data-poll]")) {
    const note = part.parentElement.querySelector(".no-script");
    if (note) note.hidden = true;
    const ask = async () => {
      if (!document.hidden) {
        try {
          const answer = await fetch(part.dataset.poll, {cache: "no-store", redirect: "error"});
          const html = answer.ok ? await answer.text() : null;
          if (html !== null && html !== part.dataset.was) {
            part.dataset.was = html;
            part.innerHTML = html;
            dress(part);
            if (part.querySelector("[data-arrived]") && document.getElementById("deliveries")) await renew("deliveries");
          }
        } catch {
          if (note) note.hidden = false;
        }
      }
      if (!part.querySelector("[data-arrived]")) setTimeout(ask, POLL_MS);
    };
    ask();
  }
})();
