#!/usr/bin/env bash
# The one entry point: ./spark-submit.sh [spark-submit options --] COMMAND [options]
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
python=$root/.venv/bin/python
if [ ! -x "$python" ]; then
  echo "salestream: MACHINE there is no $root/.venv; run make setup" >&2
  exit 2
fi

# A name server that answers nothing is given up soon, by Python and by the JVM alike: they ask through the C library.
export RES_OPTIONS="${RES_OPTIONS:-timeout:2 attempts:2}"

# What stands before a `--` belongs to spark-submit.
spark_args=()
for arg in "$@"; do
  if [ "$arg" = "--" ]; then
    while [ "$1" != "--" ]; do spark_args+=("$1"); shift; done
    shift
    break
  fi
done

# What an operation would change is worked out by the code that would do it, on Spark.
is_rehearsal=
case "${1:-} ${2:-}" in
  retract*|replay*|"quarantine replay") for arg in "$@"; do if [ "$arg" = --dry-run ]; then is_rehearsal=1; fi; done ;;
esac
case "${1:-}$is_rehearsal" in
  run|*1) ;;
  *)
    if [ "${#spark_args[@]}" -gt 0 ]; then
      echo "salestream: USAGE only run, and --dry-run of retract, replay and quarantine replay, go through spark-submit; leave out what stands before the --" >&2
      exit 2
    fi
    exec "$python" "$root/app/main.py" "$@" ;;
esac
for arg in "$@"; do
  case "$arg" in --help|-h) exec "$python" "$root/app/main.py" "$@" ;; esac
done

# Where the executors are: given to spark-submit as --master or spark.master, else on this machine.
master=local others= previous=
for arg in ${spark_args[@]+"${spark_args[@]}"}; do
  # Either of `--name value` and `--name=value`.
  case "$arg" in --*=*) option=$arg ;; *) option=$previous=$arg ;; esac
  case "$option" in
    --master=*) master=${option#--master=} ;;
    --conf=spark.master=*) master=${option#--conf=spark.master=} ;;
    --py-files=*) others=${option#--py-files=} ;;
  esac
  previous=$arg
done
case "$master" in local | local\[*) is_local=yes ;; *) is_local= ;; esac

. "$root/scripts/packages.sh"
# Local workers find pyspark in .venv, compiled (scripts/setup.sh); for other masters Spark itself looks for the zip it brings.
if [ -z "${SPARK_HOME:-}" ]; then
  if [ -n "$is_local" ] && [ -x "$root/.cache/spark/bin/spark-submit" ]; then SPARK_HOME=$root/.cache/spark
  else SPARK_HOME=$("$python" -c 'import importlib.util as u; print(u.find_spec("pyspark").submodule_search_locations[0])'); fi
fi
export SPARK_HOME
export PYSPARK_PYTHON="${PYSPARK_PYTHON:-$python}" PYSPARK_DRIVER_PYTHON="${PYSPARK_DRIVER_PYTHON:-$python}"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# Executors elsewhere could not reach a driver that listens on loopback.
if [ -n "$is_local" ]; then export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}"; fi
# Spark finds conf/log4j2.properties there.
export SPARK_CONF_DIR="${SPARK_CONF_DIR:-$root/conf}"

# Ivy reports forty jars at every start. That is shown only when resolving them fails.
# mawk would hold every line back until it has read 4 KB.
line_by_line=()
case "$(awk -W version 2>&1 </dev/null)" in mawk*) line_by_line=(-W interactive) ;; esac
exec 3> >(exec awk ${line_by_line[@]+"${line_by_line[@]}"} '
  /^WARNING: Using incubator modules/ { next }
  quiet && /artifacts copied/ { quiet = 0; held = ""; next }
  quiet && /^(::|\t|Ivy Default Cache|The jars for|[^ ]+#[^ ]+ added as|downloading )/ { held = held $0 "\n"; next }
  { print; fflush() }
  END { if (quiet) printf "%s", held }' quiet=1 >&2)
filter=$!
# spark.driver_memory of the configuration; a fault in it is the run's to report.
env=dev previous=
for arg in "$@"; do
  case "$arg" in --env=*) env=${arg#--env=} ;; *) if [ "$previous" = --env ]; then env=$arg; fi ;; esac
  previous=$arg
done
memory=$(cd / && PYTHONPATH=$root "$python" -c 'import sys; from app.cli.options import configuration; print(configuration(sys.argv[1], servers=False).spark.driver_memory)' "$env" 2>/dev/null) || memory=1g
# What --packages has once resolved is handed over as it lies in the cache: that saves seconds of CPU at every start.
packages=(--packages "$SPARK_PACKAGES" --exclude-packages "$SPARK_EXCLUDES")
cached=("$root"/.cache/ivy/jars/*.jar)
if [ -f "${cached[0]}" ] && [ "$(cat "$root/.cache/ivy/.stamp" 2>/dev/null)" = "$(spark_packages_stamp "$root")" ] && [[ $root != *,* ]]; then
  packages=(--jars "$(IFS=,; printf '%s' "${cached[*]}")")
fi
# Executors on other machines get the code with the submission.
code=()
if [ -z "$is_local" ]; then code=(--py-files "$others"); fi
# On this machine the workers are forked from a process that has loaded what they all need.
daemon=()
if [ -n "$is_local" ]; then daemon=(--conf spark.python.daemon.module=app.spark.worker_daemon); fi
# What a rehearsal prints is its result; what a run prints is its log.
if [ -n "$is_rehearsal" ]; then exec 4>&1; else exec 4>&3; fi
# The collector that gets most done in a small heap (docs/decisions/0007-speed.md), unless one is chosen: a JVM takes no two.
defaults=$(cat "$SPARK_CONF_DIR/spark-defaults.conf" 2>/dev/null || true)
case "${spark_args[*]-} ${SPARK_SUBMIT_OPTS:-} ${JAVA_TOOL_OPTIONS:-} ${JDK_JAVA_OPTIONS:-} $defaults" in
  *-XX:+Use*GC*) ;;
  *) SPARK_SUBMIT_OPTS="${SPARK_SUBMIT_OPTS:-} -XX:+UseParallelGC" ;;
esac
# A stream of small files calls all of Spark's planning some thousand times: too often for the JVM not to compile it with all means, for
# minutes, and too seldom to pay that back. So only what is called ten times as often is. What was given comes last and wins.
export SPARK_SUBMIT_OPTS="-XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 -XX:Tier4CompileThreshold=150000 ${SPARK_SUBMIT_OPTS:-}"
# A sort or a broadcast takes a page on the heap, or four; of 8 MB each they would cost a small heap a collection every second. Spark reads this
# setting from the JVM's properties alone. The last word is app.launch's: it adds a scratch folder, and leaves no process behind.
exec "$python" -P -m app.launch --out 4 --err 3 --filter "$filter" ${code[@]+"${code[@]}"} -- \
  "$SPARK_HOME/bin/spark-submit" --conf "spark.jars.ivy=$root/.cache/ivy" --conf spark.buffer.pageSize=1m \
  "${packages[@]}" --driver-memory "$memory" ${daemon[@]+"${daemon[@]}"} ${spark_args[@]+"${spark_args[@]}"} -- "$root/app/main.py" "$@"
