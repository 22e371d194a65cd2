#!/usr/bin/env bash
# A Spark standalone cluster on this machine's loopback: a master and two workers, until Ctrl-C. For trying out and for the tests.
#   scripts/cluster.sh [PORT]        then: SPARK_LOCAL_IP=127.0.0.1 ./spark-submit.sh --master spark://127.0.0.1:PORT -- run --once
# Nothing of this clone is in the workers' environment or working directory, as on machines of their own.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
port=${1:-7077}
cores=${CLUSTER_CORES:-1} memory=${CLUSTER_MEMORY:-1g}
home=$(echo "$root"/.venv/lib/python3*/site-packages/pyspark)
if [ ! -d "$home" ]; then
  echo "cluster: there is no $root/.venv; run make setup" >&2
  exit 2
fi
folder=$(mktemp -d "${TMPDIR:-/tmp}/salestream-cluster.XXXXXX")
pids=()
end() {
  trap - EXIT INT TERM HUP
  # Workers end their executors, if they are given the time.
  if [ "${#pids[@]}" -gt 0 ]; then kill -TERM "${pids[@]}" 2>/dev/null || true; wait "${pids[@]}" 2>/dev/null || true; fi
  rm -rf "$folder"
}
trap end EXIT
trap 'exit 0' INT TERM HUP

start() { # name, class and arguments
  local name=$1
  shift
  # Should this script be killed, its servers go with it.
  (cd "$folder" && exec setpriv --pdeathsig TERM env -i PATH="$PATH" HOME="$folder" ${JAVA_HOME:+JAVA_HOME="$JAVA_HOME"} LC_ALL=C.UTF-8 TZ=UTC \
    SPARK_HOME="$home" SPARK_LOCAL_IP=127.0.0.1 SPARK_DAEMON_MEMORY=256m SPARK_MASTER_OPTS=-Dspark.master.rest.enabled=false \
    "$home/bin/spark-class" "$@") >"$folder/$name.log" 2>&1 &
  pids+=($!)
}

start master org.apache.spark.deploy.master.Master --host 127.0.0.1 --port "$port" --webui-port 0
for number in 1 2; do
  start "worker$number" org.apache.spark.deploy.worker.Worker --host 127.0.0.1 --webui-port 0 --cores "$cores" --memory "$memory" \
    --work-dir "$folder/work$number" "spark://127.0.0.1:$port"
done
for _ in $(seq 600); do
  if [ "$(cat "$folder"/worker*.log | grep -c 'Successfully registered with master')" -eq 2 ]; then break; fi
  if ! kill -0 "${pids[@]}" 2>/dev/null; then cat "$folder"/*.log >&2; exit 1; fi
  sleep 0.1
done
echo "cluster: spark://127.0.0.1:$port, two workers of $cores core and $memory"
wait
