#!/usr/bin/env bash
# A job for Slurm: one process a GPU, on as many nodes as are asked for.
#
#   sbatch --nodes=2 --gpus-per-node=4 --ntasks-per-node=4 scripts/slurm_train.sh EXP.yaml RUN [OPTION]...
#
# RUN lies on a disk that all nodes see. Two minutes before the time is up, Slurm sends SIGTERM: the
# step is finished and a checkpoint saved. Submitted again, also with other numbers of nodes and
# processes, the job goes on from there. On nodes without GPUs, add `-s device=cpu`, leave out
# --gpus-per-node, and set EXCISE_SRUN=--mpi=pmix for MPI.
#SBATCH --job-name=excise
#SBATCH --cpus-per-task=4
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: sbatch [--nodes=N ...] $0 EXP.yaml RUN [OPTION of excise train]..." >&2
    exit 2
fi
config=$1 run=$2
shift 2
excise=${EXCISE:-build/excise} # Slurm runs a copy of this file, from the folder of submission

arguments=(train -c "$config" -o "$run" "$@")
[ ! -e "$run/config.yaml" ] || arguments+=(--resume)
# shellcheck disable=SC2086
exec srun --kill-on-bad-exit=1 ${EXCISE_SRUN:-} "$excise" "${arguments[@]}"
