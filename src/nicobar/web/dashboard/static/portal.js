// Moves the key after the `#` of a dashboard link into a form and out of the URL.
"use strict";
(() => {
  const form = document.getElementById("portal");
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  history.replaceState(null, "", location.pathname);
  if (!key) return;
  form.elements.key.value = key;
  form.submit();
})();
