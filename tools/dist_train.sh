#!/usr/bin/env bash
# Train with many processes, one for each GPU, on this machine or on several:
#
#     bash tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
#
# On several machines run it on each, with the same NNODES, MASTER_ADDR and PORT, and NODE_RANK from 0:
#
#     NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash tools/dist_train.sh CONFIG 8
#
# After a fault the processes are started again, MAX_RESTARTS times (3), from the newest checkpoint.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
config=$1 gpus=$2
shift 2
if [ ! -f "$config" ]; then
    echo "error: no config file $config" >&2
    exit 1
fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # what torchrun sets, with a warning
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

python=${PYTHON:-}
if [ -z "$python" ]; then
    python=python
    # What tools/bootstrap.py made, unless another environment is active.
    [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] || [ ! -x "$root/.venv/bin/python" ] || python="$root/.venv/bin/python"
fi

if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
    # A free port: two runs on one machine do not meet.
    where=(--standalone)
else
    where=(--nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}"
        --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${PORT:-29500}")
fi
# torchrun, but for the traceback of its own under what the processes have said.
torchrun='
import sys
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main
try:
    main()
except SignalException as stop:
    sys.exit(128 + stop.sigval)
except ChildFailedError as failed:
    ranks = ", ".join(str(rank) for rank in sorted(failed.failures))
    sys.exit(f"rank {ranks} failed; what it said stands above")
'
exec "$python" -c "$torchrun" "${where[@]}" --nproc_per_node "$gpus" \
    --max_restarts "${MAX_RESTARTS:-3}" "$root/tools/train.py" "$config" --launcher pytorch "$@"
