#!/bin/sh
# Finds Chromium for the browser tests. Installs Debian's package if there is none: as root, or with
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
  echo "Cannot install Chromium with apt-get." >&2
fi
cat >&2 <<'END'
Chromium not found. The browser tests require it. Do one of the following and try again:
  - Install chromium or google-chrome.
  - Set TEST_CHROMIUM to the path of an executable.
  - Set TEST_INSTALL_CHROMIUM=1 to install Debian's package through sudo.
`make check` needs no browser.
END
exit 1
