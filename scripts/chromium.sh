#!/bin/sh
# Finds a Chromium for the browser tests. Installs Debian's where there is none and that is allowed: to root, or with
# TEST_INSTALL_CHROMIUM=1 through sudo.
set -u
for name in "${TEST_CHROMIUM:-}" chromium chromium-browser google-chrome; do
  [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 && exit 0
done
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null 2>&1 && { [ -z "$as_root" ] || [ "${TEST_INSTALL_CHROMIUM:-}" = 1 ]; }; then
  echo "Installing Chromium for the browser tests ..."
  if $as_root apt-get update -qq >/dev/null 2>&1 &&
     DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1; then
    exit 0
  fi
  echo "Chromium could not be installed with apt-get." >&2
fi
cat >&2 <<'END'
The browser tests need Chromium, and there is none. Do one of these, then run this again:
  install chromium or google-chrome;
  set TEST_CHROMIUM to the path of one;
  set TEST_INSTALL_CHROMIUM=1 to install Debian's through sudo.
`make check` needs no browser.
END
exit 1
