#!/usr/bin/env bash
# Train under Slurm, one process for each GPU:
#
#     [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=4] [SRUN_ARGS="..."] \
#         bash tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [options of tools/train.py]
#
# A job that Slurm requeues goes on from its newest checkpoint.
set -euo pipefail

if [ $# -lt 4 ]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
partition=$1 job=$2 config=$3 work_dir=$4
shift 4
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
python=${PYTHON:-}
if [ -z "$python" ]; then
    python=python
    [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] || [ ! -x "$root/.venv/bin/python" ] || python="$root/.venv/bin/python"
fi

# shellcheck disable=SC2086  # SRUN_ARGS is a list
exec srun -p "$partition" --job-name="$job" --gres="gpu:$per_node" --ntasks="$gpus" \
    --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-4}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} "$python" -u "$root/tools/train.py" "$config" --work-dir "$work_dir" \
    --launcher slurm "$@"
