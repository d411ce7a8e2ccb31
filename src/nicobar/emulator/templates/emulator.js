// Local times, and live parts: polls the emulator's version and replaces the parts that changed.
"use strict";
(() => {
  const EVERY_MS = 1000;
  const lang = document.documentElement.lang;
  const {timeZone} = Intl.DateTimeFormat().resolvedOptions();
  const brief = new Intl.DateTimeFormat(lang, {month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23"});
  const exact = new Intl.DateTimeFormat(lang, {dateStyle: "long", timeStyle: "long"});
  let version = document.documentElement.dataset.version;

  function localTimes(root) {
    for (const one of root.querySelectorAll("time")) {
      const at = new Date(one.dateTime);
      one.textContent = brief.format(at);
      one.title = exact.format(at);
    }
  }
  localTimes(document);
  const zone = document.querySelector("[data-zone]");
  zone.textContent = `${zone.dataset.zone} ${timeZone}.`;
  document.querySelector(".tabs [aria-current]")?.scrollIntoView({block: "nearest", inline: "nearest"});

  const bar = document.querySelector(".live-bar");
  const button = bar.querySelector("[data-live-switch]");
  const said = bar.querySelector("[data-live-state]");
  const reload = bar.querySelector("[data-reload]");
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

  const addressOf = (link) => link?.matches("a[href]") ? link.getAttribute("href") : null;
  const isSelected = (part) => !getSelection().isCollapsed && part.contains(getSelection().anchorNode);

  // False if the part has to wait: a button stays under the pointer, and a selection stays selected.
  function take(part, fresh) {
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    if (isSelected(part) || focused?.matches("button, input, select, textarea")) return false;
    // An email that is being read stays; an empty pane gets the first one.
    if (part.dataset.live === "empty") return true;
    const known = new Set([...part.querySelectorAll("[data-key]")].map((one) => one.dataset.key));
    const open = new Map([...part.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    const address = addressOf(focused);
    part.replaceChildren(...fresh.childNodes);
    localTimes(part);
    for (const one of part.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = open.get(one.id);
    if (known.size) for (const one of part.querySelectorAll("[data-key]")) one.classList.toggle("fresh", !known.has(one.dataset.key));
    const read = document.querySelector("[data-email]")?.dataset.email;
    for (const one of part.querySelectorAll(".inbox .emails li")) {
      const link = one.querySelector("a");
      if (one.dataset.key === read) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    if (address) [...part.querySelectorAll("a[href]")].find((link) => addressOf(link) === address)?.focus({preventScroll: true});
    return true;
  }

  async function look() {
    const answer = await fetch("/emulator/version", {cache: "no-store"});
    const now = String((await answer.json()).version);
    if (now === version) return;
    const page = await fetch(location.href, {cache: "no-store"});
    if (!page.ok) throw new Error(String(page.status));
    const fresh = new DOMParser().parseFromString(await page.text(), "text/html");
    let isWhole = true;
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (!next) continue;
      isWhole = take(part, next) && isWhole;
      part.dataset.live = next.dataset.live;
    }
    if (isWhole) version = now;
  }

  async function follow() {
    if (isOn && !document.hidden) {
      try {
        await look();
        if (isOn) say("live");
      } catch {
        say("lost");
      }
    }
    setTimeout(follow, EVERY_MS);
  }

  button.addEventListener("click", () => { isOn = !isOn; show(); });
  show();
  follow();
})();
