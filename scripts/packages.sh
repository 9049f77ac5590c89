# packages.sh - what scripts/check.sh and scripts/demo.sh need beyond a bare Debian 12, and how they get it.
# shellcheck shell=bash

# shellcheck disable=SC2034 # used by the scripts
BUILD_PACKAGES="autoconf automake gcc libc6-dev make pkg-config libssl-dev libyaml-dev libsystemd-dev libsqlite3-dev libseccomp-dev"
# shellcheck disable=SC2034
SERVER_PACKAGES="dovecot-core dovecot-imapd dovecot-pop3d openssl python3 procps util-linux"
# shellcheck disable=SC2034
TEST_PACKAGES="libcmocka-dev libjansson-dev dovecot-lmtpd postfix bsdutils clang-format shellcheck systemd mandoc man-db"

# packages_install PACKAGE...: asks the network only for what is missing.
packages_install() {
  local package status=0 missing=() sudo=() policy=/usr/sbin/policy-rc.d
  for package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  # A root made by debootstrap has no /etc/hosts, and so no localhost.
  getent ahosts localhost >/dev/null || missing+=(libnss-myhostname)
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "Run this as root: apt-get install --no-install-recommends ${missing[*]}" >&2
      return 1
    fi
    sudo=(sudo)
  fi
  # Dovecot and Postfix are not to be started as services by their installation: the scripts run servers of their own, as an ordinary user.
  if [ -e "$policy" ]; then
    policy=
  else
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
  fi
  { "${sudo[@]}" apt-get -q update &&
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${missing[@]}"; } >/dev/null || status=1
  [ -z "$policy" ] || "${sudo[@]}" rm -f "$policy"
  return $status
}
