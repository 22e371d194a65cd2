#!/usr/bin/env bash
# Run every part of the test suite, go on after a failure, and end with what each part took and pytest's own last lines.
# Parts may be named: scripts/test.sh lint unit
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
NO_TESTS=5 # pytest's exit code for a folder without tests

logs=.cache/log
table=() ends=() failed=0

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
      failed=1
    fi
  fi
  table+=("$(printf '%-12s %6d s   %s' "$1" $((SECONDS - begin)) "$result")")
  if grep -qE '^=+ .* in [0-9.]+s' "$log"; then ends+=("$(printf '%-12s %s' "$1" "$(grep -E '^=+ .* in [0-9.]+s' "$log" | tail -1)")"); fi
  [ "$result" != FAILED ]
}

mkdir -p "$logs"
# A pytest inside make's pipe draws no colours and the summary line stays greppable.
export PY_COLORS=0
parts=("$@")
if [ ${#parts[@]} -eq 0 ]; then parts=(setup lint type unit spark integration e2e); fi
for part in "${parts[@]}"; do
  # The embedded server is MariaDB; what must hold on MySQL as well is tested on one where this machine can get it.
  if [ "$part" = integration ] && ! scripts/fetch_mysql.sh; then echo "mysql: tests/integration/test_real_mysql.py is skipped"; fi
  if ! run "$part" && [ "$part" = setup ]; then break; fi
done

printf '\n%-12s %8s\n' part took
printf '%s\n' "${table[@]}"
printf '%-12s %6d s   %s\n\n' all "$SECONDS" "$([ "$failed" -eq 0 ] && echo passed || echo FAILED)"
if [ ${#ends[@]} -gt 0 ]; then printf '%s\n' "${ends[@]}"; fi
exit "$failed"
