#!/usr/bin/env bash
# Run every part of the test suite, go on after a failure, and end with what each part took and pytest's own last lines.
# Parts may be named, each a target of the Makefile; they then run one after the other: scripts/test.sh fast spark
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
NO_TESTS=5 # pytest's exit code for a folder without tests
# What runs side by side. Most of integration and e2e is waiting for servers, processes and their ends, so three lanes of them fit on two
# cores beside the parts that run one after the other.
LINES=('lint type unit spark bench-quick' lane-1 lane-2 lane-3)
export LANES=.cache/lanes

logs=.cache/log

run() { # part
  local begin=$SECONDS status=0 result=passed
  local log="$logs/test-$1.log"
  printf '\n== %s\n' "$1"
  make --no-print-directory "$1" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  if [ "$status" -ne 0 ]; then
    if grep -q "Error $NO_TESTS\$" "$log" && ! find "tests/$1" -name 'test_*.py' 2>/dev/null | grep -q .; then
      result='no tests yet'
    else
      result=FAILED
    fi
  fi
  printf '%-12s %6d s   %s\n' "$1" $((SECONDS - begin)) "$result" >"$logs/test-$1.result"
  [ "$result" != FAILED ]
}

run_all() { # part...
  local part failed=0
  for part in "$@"; do run "$part" || failed=1; done
  return "$failed"
}

mkdir -p "$logs"
rm -rf "$logs"/test-*.result "$LANES"
# Hundreds of Python processes begin with the same modules: they are compiled once.
unset PYTHONDONTWRITEBYTECODE
# A pytest inside make's pipe draws no colours and the summary line stays greppable.
export PY_COLORS=0
failed=0
# The embedded server is MariaDB; what must hold on MySQL as well is tested on one where this machine can get it.
# Where it could get one and does not, the tests that need it are failures in CI (tests/skips.py); elsewhere the last lines name them.
fetch_mysql() { scripts/fetch_mysql.sh || echo "mysql: NOT TESTED on a real MySQL: there is none in .cache/mysql"; }

parts=("$@")
if [ ${#parts[@]} -gt 0 ]; then
  case " ${parts[*]} " in *' integration '*) fetch_mysql ;; esac
  run_all "${parts[@]}" || failed=1
else
  read -ra parts <<<"setup ${LINES[*]}"
  # Spark's classes are prepared once, before anything runs beside it.
  if run setup && run classes; then
    fetch_mysql
    others=()
    # In process groups of their own, to end with this script whatever ends that.
    trap 'for pid in "${others[@]}"; do kill -TERM -- "-$pid" 2>/dev/null; done' EXIT
    trap 'exit 130' INT TERM
    set -m
    for line in "${LINES[@]:1}"; do
      run_all "$line" >"$logs/test-line-$line.log" 2>&1 &
      others+=($!)
    done
    set +m
    read -ra first <<<"${LINES[0]}"
    run_all "${first[@]}" || failed=1
    for pid in "${others[@]}"; do wait "$pid" || failed=1; done
    trap - EXIT
    for line in "${LINES[@]:1}"; do cat "$logs/test-line-$line.log"; done
  else
    failed=1
  fi
fi

printf '\n%-12s %8s\n' part took
for part in "${parts[@]}"; do if [ -f "$logs/test-$part.result" ]; then cat "$logs/test-$part.result"; fi; done
printf '%-12s %6d s   %s\n\n' all "$SECONDS" "$([ "$failed" -eq 0 ] && echo passed || echo FAILED)"
for part in "${parts[@]}"; do
  # A lane has two.
  grep -sE '^=+ .* in [0-9.]+s' "$logs/test-$part.log" | sed "s/^/$(printf '%-12s ' "$part")/"
done
for part in "${parts[@]}"; do grep -sh '^NOT TESTED: ' "$logs/test-$part.log"; done
exit "$failed"
