#!/usr/bin/env bash
# Set up, build, and run a system without ros2 launch: scripts/run.sh grasp [name:=value …]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

moss_options "$@"
set -- "${moss_args[@]}"
[[ ${1:-} == grasp ]] || moss_fail "unknown system '${1:-}': expected scripts/run.sh grasp [name:=value …]"
shift
moss_setup demo
moss_build
exec "$moss_root/install/moss_perception/lib/moss_perception/run_grasp" "$@"
