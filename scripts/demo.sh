#!/usr/bin/env bash
# A tour: servers up, tables, sample data, one run of the main job, a look at what came of it. Stops what it started.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd -- "$root"
job=$root/spark-submit.sh
began=$SECONDS

say() { printf '\n== %s\n' "$*"; }

was_up=$("$root/.venv/bin/python" -c 'from app import local; print(int(local.is_up(local.home())))')
finish() { if [ "$was_up" = 0 ]; then "$job" local down >/dev/null || true; fi; }
trap finish EXIT
trap 'exit 130' INT TERM

say "Servers: a real S3 and a real MySQL-protocol server, below ${SALESTREAM_HOME:-.local}"
"$job" local up
say "Tables and sample dimensions"
"$job" init-db --seed

say "Five kinds of files"
drop=$(mktemp -d "${TMPDIR:-/tmp}/salestream-demo.XXXXXX")
trap 'rm -rf "$drop"; finish' EXIT
python=$root/.venv/bin/python
"$python" scripts/generate_standard.py --rows 500 --files 2 --seed 1 --bad-rows 5 --unknown-customers 3 --out "$drop"
"$python" scripts/generate_datewise.py --rows 5000 --files 2 --seed 2 --out "$drop"
"$python" scripts/generate_extra_columns.py --rows 1000 --seed 3 --out "$drop"
"$python" scripts/generate_fewer_columns.py --rows 200 --seed 4 --out "$drop"
"$python" scripts/generate_customers.py --seed 5 --out "$drop"
"$job" upload "$drop"

say "The main job, once (run --once)"
# A run of seconds does not pay back what the JVM's second compiler costs.
"$job" --driver-java-options -XX:TieredStopAtLevel=1 -- run --once
"$python" scripts/show_demo.py
printf '\nThe demo took %s s.\n' "$((SECONDS - began))"
