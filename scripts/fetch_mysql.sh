#!/usr/bin/env bash
# Fetch a real MySQL server, for tests only, into .cache/mysql/<version>/: no root, no Docker, nothing outside .cache.
# It is Debian's build with every library it needs, C library included, so it runs on any 64-bit Linux that has apt and dpkg.
# Safe to run again; a run with nothing to do takes a moment. tests/integration/test_real_mysql.py uses what it leaves there.
#
# The packages and their checksums are pinned in fetch_mysql.lock. They come from the Debian mirror that this machine's apt
# uses, through apt with its proxies; DEBIAN_MIRROR=http://.../debian/ names another one (needed where apt knows no Debian).
# Debian unstable moves: when a pinned file has gone from the mirror, name a snapshot of the lock's date as DEBIAN_MIRROR,
# or pin what is there now: scripts/fetch_mysql.sh --relock
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LOCK=$ROOT/scripts/fetch_mysql.lock
MYSQL=$ROOT/.cache/mysql
LOG=$ROOT/.cache/log/mysql.log
APT_HELPER=/usr/lib/apt/apt-helper
SUITE=sid
# mysqld and what it loads, found with `ld.so --list`.
PACKAGES="mysql-server-core libc6 libgcc-s1 libstdc++6 libaio1t64 libgoogle-perftools4t64 libicu78 liblz4-1 liblzma5 libnuma1
  libprotobuf-lite32t64 libssl3t64 libunwind8 libxxhash0 libzstd1 zlib1g"
NEEDED_MB=500
NAME_ONE='name one: DEBIAN_MIRROR=http://.../debian/ scripts/fetch_mysql.sh'
SCRATCH=()

cleanup() { [ ${#SCRATCH[@]} -eq 0 ] || rm -rf "${SCRATCH[@]}"; }
trap cleanup EXIT

say() { printf '%s\n' "mysql: $*"; }
fail() { printf '%s\n' "MACHINE $1; $2" >&2; exit 2; }

check_machine() {
  local tool free_kb
  [ "$(uname -sm)" = "Linux x86_64" ] || fail "this is $(uname -sm), the pinned MySQL is for Linux x86_64" "run these tests on such a machine"
  for tool in "$APT_HELPER" dpkg-deb apt-get; do
    command -v "$tool" >/dev/null || fail "$tool was not found" "run this on Debian or one of its relatives"
  done
  free_kb=$(df -Pk "$ROOT" | awk 'NR == 2 { print $4 }')
  [ "$free_kb" -ge $((NEEDED_MB * 1024)) ] || fail "only $((free_kb / 1024)) MB are free in $ROOT, $NEEDED_MB MB are needed" "free some space and run it again"
}

# The mirrors to ask, each ending in /: the one named, or those that apt is set up with.
mirrors() {
  if [ -n "${DEBIAN_MIRROR:-}" ]; then printf '%s/\n' "${DEBIAN_MIRROR%/}"; return; fi
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep '/debian/$' | sort -u || true
}

# Whether this machine is one that can get MySQL, its network aside; the tests ask that before they let CI skip those on MySQL.
can_fetch() {
  check_machine
  [ -n "$(mirrors)" ] || fail "apt knows no Debian mirror here" "$NAME_ONE"
}

locked_version() { sed -nE 's|.*/mysql-server-core_([0-9.]+)-.*|\1|p' "$LOCK"; }

download() { # mirror, directory
  local hash path arguments=()
  while read -r hash path; do
    arguments+=("$1$path" "$2/$(basename "$path")" "SHA256:$hash")
  done < <(grep -v '^#' "$LOCK")
  "$APT_HELPER" -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=2 download-file "${arguments[@]}" >>"$LOG" 2>&1
}

fetch() { # directory
  local mirror asked=0
  for mirror in $(mirrors); do
    asked=1
    if download "$mirror" "$1"; then return; fi
  done
  [ "$asked" -eq 1 ] || fail "apt knows no Debian mirror here" "$NAME_ONE"
  if grep -qE '404 +Not Found|Hash Sum mismatch' "$LOG"; then
    fail "the Debian mirror no longer holds what scripts/fetch_mysql.lock pins" "name a snapshot of its date as DEBIAN_MIRROR, or run scripts/fetch_mysql.sh --relock (log: $LOG)"
  fi
  fail "MySQL could not be fetched from the Debian mirror" "check the network or proxy and run it again (log: $LOG)"
}

# What starts mysqld with its own C library and places, whatever the folder's name is.
write_starter() { # directory
  cat >"$1/mysqld" <<'EOF'
#!/bin/sh
# MySQL with the libraries beside it. $0 may be relative; no option file is read unless the caller names one.
here=$(cd "$(dirname "$0")" && pwd)/usr
lib=$here/lib/x86_64-linux-gnu
first=--no-defaults
case ${1:-} in --defaults-file=*) first=$1; shift ;; esac
OPENSSL_CONF=/dev/null exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$here/sbin/mysqld" "$first" --basedir="$here" \
  --lc-messages-dir="$here/share/mysql" --character-sets-dir="$here/share/mysql/charsets" --plugin-dir="$here/lib/mysql/plugin" "$@"
EOF
  chmod 755 "$1/mysqld"
}

unpack() { # directory of packages, target
  local package
  for package in "$1"/*.deb; do
    dpkg-deb -x "$package" "$2" >>"$LOG" 2>&1 || fail "$(basename "$package") could not be unpacked" "read the end of $LOG"
  done
  # Kept: the server, its libraries, its messages, the licences.
  rm -rf "$2/etc" "$2/var" "$2"/usr/{bin,lib64} "$2"/usr/share/{gcc,gdb,lintian,locale,man} "$2"/usr/lib/x86_64-linux-gnu/{gconv,audit,perl-base}
  write_starter "$2"
  "$2/mysqld" --version >>"$LOG" 2>&1 || fail "the fetched mysqld does not run on this machine" "read the end of $LOG"
}

install_server() {
  local version target hash work
  version=$(locked_version)
  target=$MYSQL/$version
  hash=$(cat "$LOCK" "$ROOT/scripts/fetch_mysql.sh" | sha256sum | cut -d' ' -f1)
  if [ -f "$target/.stamp" ] && [ "$(cat "$target/.stamp")" = "$hash" ]; then return; fi
  check_machine
  mkdir -p "$MYSQL" "$(dirname "$LOG")"
  # Two runs in one clone at a time would write the same files.
  exec 9>"$MYSQL/lock"
  flock 9
  : >"$LOG"
  work=$(mktemp -d "$MYSQL/new-XXXXXX")
  SCRATCH+=("$work")
  mkdir "$work/debs" "$work/server"
  say "fetching MySQL $version and its libraries from Debian (42 MB)"
  fetch "$work/debs"
  say "unpacking"
  unpack "$work/debs" "$work/server"
  printf '%s' "$hash" >"$work/server/.stamp"
  rm -rf "$target"
  mv "$work/server" "$target"
}

# Pin what the mirror holds today. apt's own signature check stands behind the new checksums.
relock() {
  local apt mirror options name uri size hash
  check_machine
  mkdir -p "$(dirname "$LOG")"
  apt=$(mktemp -d)
  SCRATCH+=("$apt")
  mkdir -p "$apt"/{state/lists/partial,cache/archives/partial}
  : >"$apt/status"
  options=(-o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" -o Dir::Etc::sourcelist="$apt/sources.list"
    -o Dir::Etc::sourceparts=- -o APT::Architecture=amd64 -o APT::Sandbox::User="$(id -un)" -o Acquire::ForceHash=SHA256)
  mirror=$(mirrors | grep -v security | head -n 1)
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$SUITE" >"$apt/sources.list"
  apt-get "${options[@]}" -qq update >"$LOG" 2>&1 || fail "the package list of Debian $SUITE could not be fetched" "read the end of $LOG"
  {
    printf '# sha256 and place below a Debian mirror, as of %s. Written by scripts/fetch_mysql.sh --relock\n' "$(date -u +%F)"
    # shellcheck disable=SC2086
    apt-get "${options[@]}" --print-uris download $PACKAGES 2>>"$LOG" | while read -r uri name size hash; do
      uri=${uri//\'/}
      printf '%s %s\n' "${hash#SHA256:}" "${uri#"$mirror"}"
    done
  } >"$LOCK.new"
  [ "$(grep -c '\.deb$' "$LOCK.new")" -eq "$(wc -w <<<"$PACKAGES")" ] || fail "Debian $SUITE no longer has all of the packages by these names" "mend PACKAGES in scripts/fetch_mysql.sh (log: $LOG)"
  mv "$LOCK.new" "$LOCK"
  say "pinned MySQL $(locked_version)"
}

case ${1:-} in
  "") ;;
  --relock) relock ;;
  --can-fetch) can_fetch; exit ;;
  *) fail "unknown argument $1" "usage: scripts/fetch_mysql.sh [--relock | --can-fetch]" ;;
esac
install_server
say "MySQL $(locked_version) is in $MYSQL/$(locked_version)"
