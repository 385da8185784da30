#!/usr/bin/env bash
# Set up, build, and run every test: scripts/test.sh [--busy] [--torch-index URL] [pytest's arguments]
# --busy keeps two cores busy meanwhile: tests that rely on a fast machine then fail.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

rendering_works() {
  python -c 'import mujoco; mujoco.GLContext(16, 16).make_current()' >/dev/null 2>&1
}

prepare_rendering() {
  export MUJOCO_GL=${MUJOCO_GL:-egl}
  rendering_works && return
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    moss_say 'MuJoCo cannot render: installing libegl1 and libgl1-mesa-dri with apt-get'
    { apt-get update && apt-get install -y --no-install-recommends libegl1 libgl1-mesa-dri; } \
      >>"$moss_log" 2>&1 || true
    rendering_works && return
  fi
  moss_say 'MuJoCo cannot render here, the tests that need it are skipped:' \
    'sudo apt install libegl1 libgl1-mesa-dri'
}

is_busy=0
words=()
for word in "$@"; do
  if [[ $word == --busy ]]; then is_busy=1; else words+=("$word"); fi
done
moss_options "${words[@]}"
moss_setup test
moss_build
export ROS_AUTOMATIC_DISCOVERY_RANGE=${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}
prepare_rendering
export ROS_DOMAIN_ID=${ROS_DOMAIN_ID:-$((1 + $$ % 100))}
cd "$moss_root"
rm -f build/moss_perception/pytest.xml
if ((is_busy)); then moss_keep_busy; fi
status=0
# Tests over DDS wait more than they compute: several processes share them, file by file.
processes=(--numprocesses "$(env -u OMP_NUM_THREADS nproc)" --dist loadfile)
python -c 'import xdist' 2>/dev/null || processes=()
pytest_args=()
if ((${#processes[@]} + ${#moss_args[@]})); then
  pytest_args=(--pytest-args "${processes[@]}" "${moss_args[@]}")
fi
python -m colcon test --return-code-on-test-failure --executor sequential \
  --event-handlers console_direct+ "${pytest_args[@]}" || status=$?
if ((status)); then python -m colcon test-result --verbose || true; fi
python scripts/count_tests.py build/moss_perception/pytest.xml || status=1
exit "$status"
