#!/usr/bin/env bash
# Measure everything and update docs/performance*.md: bash benchmarks/all.sh [BENCHMARK …]
# Needs the environment of scripts/setup.sh test, and a machine that does nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -z ${VIRTUAL_ENV:-} && -f .venv/bin/activate ]]; then
  . .venv/bin/activate
  if [[ -f .venv/local_setup.bash ]]; then . .venv/local_setup.bash; fi
fi
# Each benchmark says itself how many threads it uses.
unset OMP_NUM_THREADS
names=("$@")
if ((${#names[@]} == 0)); then
  names=(moss_step floor displacement_step stream_length predictor_step overhead low_rank replay own_robot
    precision watching several_streams planner fleet)
fi
python benchmarks/setup_peers.py
for name in "${names[@]}"; do
  printf '\n== %s\n' "$name"
  python "benchmarks/$name.py" --out "docs/results/performance_$name.json"
done
python benchmarks/report.py
