#!/bin/sh
# Installs Debian's pgbouncer for the tests that need it, as root or with TEST_INSTALL_PGBOUNCER=1 through sudo. Where that
# fails those tests are skipped and say why.
set -u
PATH="$PATH:/usr/sbin"
command -v pgbouncer >/dev/null 2>&1 && exit 0
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null 2>&1 && { [ -z "$as_root" ] || [ "${TEST_INSTALL_PGBOUNCER:-}" = 1 ]; }; then
  echo "Installing pgbouncer for the tests ..."
  apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20"
  $apt update >/dev/null 2>&1
  if $apt install -y --no-install-recommends pgbouncer >/dev/null 2>&1; then
    # The package starts a service, which is not needed: the tests start their own.
    command -v systemctl >/dev/null 2>&1 && $as_root systemctl disable --now pgbouncer >/dev/null 2>&1
    exit 0
  fi
fi
echo "PgBouncer not found: its tests are skipped."
