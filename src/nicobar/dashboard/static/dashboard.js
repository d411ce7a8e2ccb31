// Comfort for pages that work without it: copying, narrowing a list, local times, keys, and waiting for an event.
"use strict";
(() => {
  const POLL_MS = 1000;

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      const was = button.innerHTML;
      button.textContent = button.dataset.done;
      setTimeout(() => { button.innerHTML = was; }, 1500);
    });
  }

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

  function localTimes(root) {
    for (const one of root.querySelectorAll("time[datetime]")) {
      const local = new Date(one.dateTime).toLocaleString(document.documentElement.lang, {dateStyle: "medium", timeStyle: "long"});
      one.title = `${local} · ${one.title || one.textContent}`;
    }
  }
  localTimes(document);

  /** The key as it stands on the keyboard, also while a Korean input method makes another letter of it. */
  function keyOf(event) {
    if (/^[ -~]$/.test(event.key)) return event.key;
    if (/^Key[A-Z]$/.test(event.code)) return event.code.slice(3).toLowerCase();
    if (event.code === "Slash") return event.shiftKey ? "?" : "/";
    return event.key;
  }

  // The list of keys; closed, it gives the focus back by itself.
  const keys = document.getElementById("keys");
  const showKeys = (event) => { if (keys) { event.preventDefault(); if (!keys.open) keys.showModal(); } };
  document.querySelector("[data-keys]")?.addEventListener("click", showKeys);

  // `g` and a letter goes to a page of the navigation, `/` to the search, `?` to the list of keys.
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

  /** Takes over one part of this page as it is now. */
  async function renew(id) {
    const text = await (await fetch(location.href, {cache: "no-store", redirect: "error"})).text();
    const part = document.getElementById(id);
    part.replaceChildren(...new DOMParser().parseFromString(text, "text/html").getElementById(id).childNodes);
    localTimes(part);
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
            localTimes(part);
            if (part.querySelector("[data-arrived]")) await renew("deliveries");
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
