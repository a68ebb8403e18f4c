# Ray on every node of the job, `assay run` on the first, and the end of all of it with the job. Ray's own
# `symmetric-run` is not used: it ends with `ray stop`, which ends each Ray of the node, also another job's.
set -u
unset RAY_ADDRESS
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 AUTOSCALER_METRIC_PORT=-1 DASHBOARD_METRIC_PORT=-1
RAY_AUTH_TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN python

ray_node() { # one node of Ray, until SIGTERM or the head's end
  local folder ray told=
  folder=$(mktemp -d /tmp/ray-XXXXXX) # sockets lie in it, and their paths are short
  "$(dirname "$python")/ray" start "$@" --block --temp-dir="$folder" --num-cpus="${SLURM_CPUS_ON_NODE:-1}" \
    --dashboard-agent-listen-port=0 --min-worker-port=0 --max-worker-port=0 >"$folder/log" 2>&1 &
  ray=$!
  trap 'told=yes; kill "$ray" 2>/dev/null' TERM
  wait "$ray"
  if [[ $told ]]; then wait "$ray"; else tail -n 20 "$folder/log"; fi
  rm -rf "$folder"
}
export -f ray_node

# Not ports that connections are given: the head binds them seconds later, and somebody may have them by then.
read -r host port client < <("$python" -c '
from assay.engine.cluster.ray_head import free_ports
from ray.util import get_node_ip_address
print(get_node_ip_address(), *free_ports(2, host=""))')
ray_node --head --node-ip-address="$host" --port="$port" --ray-client-server-port="$client" \
  --include-dashboard=false &
head=$!

end_ray() { # on the other nodes, whose step is the first of the job, and here
  ((SLURM_JOB_NUM_NODES == 1)) || scancel --signal=TERM "$SLURM_JOB_ID.0"
  kill "$head"
  wait
} 2>/dev/null

await_nodes() { # until so many are there, while each of so many parts runs
  until (: <"/dev/tcp/$host/$port") 2>/dev/null && "$python" -c '
import sys
import ray
ray.init(logging_level="ERROR", log_to_driver=False)
sys.exit(sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[1]))' "$1" 2>/dev/null; do
    sleep 1
    (($(jobs -pr | wc -l) == $2 && SECONDS < 900)) && continue
    echo "error: Ray did not start on all $SLURM_JOB_NUM_NODES nodes of job $SLURM_JOB_ID" >&2
    end_ray
    exit 2
  done
}

export RAY_ADDRESS=$host:$port
await_nodes 1 1 # a node that comes before the head gives up, and a driver waits 20 minutes
if ((SLURM_JOB_NUM_NODES > 1)); then
  others=$((SLURM_JOB_NUM_NODES - 1))
  srun --export=ALL --nodes="$others" --ntasks="$others" --ntasks-per-node=1 --exclude="$SLURMD_NODENAME" --overlap \
    bash -c 'ray_node "$@"' ray --address="$RAY_ADDRESS" &
  await_nodes "$SLURM_JOB_NUM_NODES" 2
fi

"$python" -m assay "${run[@]}" &
study=$!
told=
trap 'told=yes; kill "$study" 2>/dev/null' TERM # before the time limit: what is finished is kept
wait "$study"
code=$?
while [[ $told ]]; do # the signal ended the wait, not the study
  told=
  wait "$study"
  code=$?
done
end_ray
exit "$code"
