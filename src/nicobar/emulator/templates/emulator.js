// Polls the emulator's version and replaces the live parts of the page when it changes.
"use strict";
(() => {
  const EVERY_MS = 1000;
  let version = document.documentElement.dataset.version;

  async function look() {
    if (document.hidden) return;
    const answer = await fetch("/emulator/version", {cache: "no-store"});
    const now = String((await answer.json()).version);
    if (now === version) return;
    const text = await (await fetch("/", {cache: "no-store"})).text();
    const fresh = new DOMParser().parseFromString(text, "text/html");
    let isWaiting = false;
    for (const old of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(old.id);
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      // A part with a focused button is replaced once the focus moves, so that the button stays under the pointer.
      isWaiting ||= Boolean(focused?.matches("button"));
      if (!next || focused?.matches("button")) continue;
      const top = old.querySelector(".scroll")?.scrollTop ?? 0;
      old.replaceChildren(...next.childNodes);
      const scroll = old.querySelector(".scroll");
      scroll?.scrollTo(0, top);
      if (focused) scroll?.focus({preventScroll: true});
    }
    if (!isWaiting) version = now;
  }

  async function follow() {
    const state = document.getElementById("live");
    try {
      await look();
      state.textContent = "● live";
    } catch {
      state.textContent = "▲ no connection to the emulator";
    }
    setTimeout(follow, EVERY_MS);
  }
  follow();
})();
