// Progressive enhancement for lists: times in the viewer's zone, and live parts.
"use strict";
(() => {
  const POLL_MS = 3000;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

  for (const field of document.querySelectorAll("[data-zone]")) field.value = zone;

  // Empty filters are omitted from the URL.
  for (const form of document.querySelectorAll("form.sieve")) {
    const fields = [...form.elements].filter((one) => one.name);
    form.addEventListener("submit", () => {
      const isDated = fields.some((one) => one.type === "date" && one.value);
      for (const one of fields) one.disabled = !one.value || (one.name === "zone" && !isDated);
    });
    addEventListener("pageshow", () => { for (const one of fields) one.disabled = false; });
  }

  function localClocks(root) {
    for (const one of root.querySelectorAll("time[data-clock]")) {
      one.textContent = new Date(one.dateTime).toLocaleTimeString(document.documentElement.lang, {hour: "2-digit", minute: "2-digit", hourCycle: "h23"});
    }
  }
  localClocks(document);

  const parts = () => [...document.querySelectorAll("[data-live-part]")];
  const bar = document.querySelector(".live-bar");
  if (!bar || !parts().length) return;
  const button = bar.querySelector("[data-live-switch]");
  const said = bar.querySelector("[data-live-state]");
  const reload = bar.querySelector("[data-reload]");
  const was = new Map();
  let isOn = true;

  function say(name) {
    said.hidden = false;
    if (said.textContent !== said.dataset[name]) said.textContent = said.dataset[name];
    bar.dataset.now = name;
    reload.hidden = name === "live";
  }

  function show() {
    button.hidden = false;
    button.textContent = isOn ? button.dataset.on : button.dataset.off;
    say(isOn ? "live" : "paused");
  }

  /** Whether the user is working in it. */
  const isInUse = (part) => part.contains(document.activeElement) || (!getSelection().isCollapsed && part.contains(getSelection().anchorNode));

  function take(part, fresh) {
    if (isInUse(part) || was.get(part.id) === fresh.innerHTML) return;
    was.set(part.id, fresh.innerHTML);
    const open = new Map([...part.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    part.replaceChildren(...fresh.childNodes);
    for (const one of part.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = open.get(one.id);
    localClocks(part);
    part.dispatchEvent(new CustomEvent("renewed", {bubbles: true}));
  }

  async function renew() {
    const answer = await fetch(location.href, {cache: "no-store", redirect: "error"});
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts()) {
      const found = fresh.getElementById(part.id);
      if (!found) continue;
      // Finished parts are no longer reloaded.
      const goesOn = found.hasAttribute("data-live-part");
      take(part, found);
      if (!goesOn) part.removeAttribute("data-live-part");
    }
  }

  async function turn() {
    if (isOn && !document.hidden) {
      try {
        await renew();
        if (isOn) say("live");
      } catch {
        say("lost");
      }
    }
    if (parts().length) setTimeout(turn, POLL_MS);
    else bar.hidden = true;
  }

  button.addEventListener("click", () => { isOn = !isOn; show(); });
  show();
  setTimeout(turn, POLL_MS);
})();
