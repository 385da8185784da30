#!/usr/bin/env bash
# Set up, build, and play a recording through the nodes: scripts/demo.sh [--torch-index URL] [--help]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

moss_options "$@"
moss_setup demo
moss_build
export ROS_AUTOMATIC_DISCOVERY_RANGE=${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}
exec "$moss_root/install/moss_perception/lib/moss_perception/moss" demo "${moss_args[@]}"
