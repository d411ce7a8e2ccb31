#!/bin/sh
# Finds a Chromium for the browser tests, or installs Debian's where that is possible.
set -u
for name in "${TEST_CHROMIUM:-}" chromium chromium-browser google-chrome; do
  [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 && exit 0
done
if command -v apt-get >/dev/null 2>&1; then
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  echo "Installing Chromium for the browser tests ..."
  if $as_root apt-get update -qq >/dev/null 2>&1 &&
     DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1; then
    exit 0
  fi
fi
echo "No Chromium here, and it could not be installed. Install it (chromium or google-chrome), or set" >&2
echo "TEST_CHROMIUM to its path, then run this again." >&2
exit 1
