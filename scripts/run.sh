#!/usr/bin/env bash
# Set up, build, and run a system without ros2 launch: scripts/run.sh grasp|record|eval [name:=value …]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

moss_options "$@"
set -- "${moss_args[@]}"
system=${1:-}
[[ $system =~ ^(grasp|record|eval)$ ]] ||
  moss_fail "unknown system '$system': expected scripts/run.sh grasp|record|eval [name:=value …]"
shift
moss_setup demo
moss_build
exec "$moss_root/install/moss_perception/lib/moss_perception/moss" run "$system" "$@"
