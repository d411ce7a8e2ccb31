// The key behind the `#` of a link to the dashboard: out of the address, into a form.
"use strict";
(() => {
  const form = document.getElementById("portal");
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  history.replaceState(null, "", location.pathname);
  if (!key) return;
  form.elements.key.value = key;
  form.submit();
})();
