#!/bin/sh
# Finds Chromium for the browser tests. Installs Debian's chromium-headless-shell if it is missing: as root, or with
# TEST_INSTALL_CHROMIUM=1 through sudo. Any other Chromium works too, but uses five times the CPU time.
set -u
for name in "${TEST_CHROMIUM:-}" chromium-headless-shell; do
  [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 && exit 0
done
other=""
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null 2>&1 && other="$name" && break
done
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20"
if command -v apt-get >/dev/null 2>&1 && { [ -z "$as_root" ] || [ "${TEST_INSTALL_CHROMIUM:-}" = 1 ]; }; then
  echo "Installing chromium-headless-shell for the browser tests ..."
  $apt update >/dev/null 2>&1
  packages=chromium-headless-shell
  [ -n "$other" ] || packages="$packages chromium"
  for package in $packages; do
    $apt install -y --no-install-recommends "$package" >/dev/null 2>&1 && exit 0
  done
  [ -n "$other" ] || echo "Cannot install Chromium with apt-get." >&2
fi
if [ -n "$other" ]; then
  echo "The browser tests use $other. Install chromium-headless-shell to speed them up."
  exit 0
fi
cat >&2 <<'END'
Chromium not found. The browser tests require it. Do one of the following and try again:
  - Install chromium-headless-shell, chromium or google-chrome.
  - Set TEST_CHROMIUM to the path of an executable.
  - Set TEST_INSTALL_CHROMIUM=1 to install Debian's package through sudo.
`make check` needs no browser.
END
exit 1
