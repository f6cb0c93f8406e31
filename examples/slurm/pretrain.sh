#!/bin/bash
# Pre-train on SLURM: one task a node starts a launcher, which starts one process a GPU.
#
#     sbatch --nodes 2 examples/slurm/pretrain.sh my.yaml /shared/run [more options of run_mlm.py]
#
# Requeued or sent again, the job goes on from its last checkpoint: the same command resumes. SLURM's warning two
# minutes before the time limit is not needed for that; what was trained since the last checkpoint is trained again.
#SBATCH --job-name=mmbert
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail

recipe=${1:?"usage: sbatch pretrain.sh RECIPE OUTPUT_DIR [options of run_mlm.py]"}
output=${2:?"usage: sbatch pretrain.sh RECIPE OUTPUT_DIR [options of run_mlm.py]"}
shift 2

nodes=${SLURM_JOB_NUM_NODES:?"SLURM sets this; start the script with sbatch"}
gpus=${GPUS_PER_NODE:-${SLURM_GPUS_ON_NODE:-8}}
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | awk 'NR == 1') # head would close the pipe: a failure here
port=$((29500 + SLURM_JOB_ID % 1000)) # two jobs on a node must not meet
# In batch scripts $0 is SLURM's own copy; the tree is where sbatch was called.
root=${MMBERT_ROOT:-${SLURM_SUBMIT_DIR:-$PWD}}

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
export TOKENIZERS_PARALLELISM=false

# The machine rank must be read on each node, so that part stands in single quotes.
srun --kill-on-bad-exit=1 bash -c '
    exec accelerate launch \
        --multi_gpu --mixed_precision bf16 --rdzv_backend static --same_network \
        --num_machines "$1" --num_processes "$2" --machine_rank "$SLURM_NODEID" \
        --main_process_ip "$3" --main_process_port "$4" \
        "$5" --recipe "$6" --output_dir "$7" --bf16 --dataloader_num_workers 4 "${@:8}"
' launch "$nodes" "$((nodes * gpus))" "$head" "$port" "$root/examples/run_mlm.py" "$recipe" "$output" "$@"
