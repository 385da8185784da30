#!/usr/bin/env bash
# Set up .venv and build the package: scripts/setup.sh [demo|test] [--torch-index URL]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

moss_options "$@"
set -- "${moss_args[@]}"
case ${1:-test} in
  demo | test) ;;
  *) moss_fail "unknown argument '$1': expected demo, test or --torch-index URL" ;;
esac
moss_setup "${1:-test}"
moss_build
moss_say "ready: source $moss_root/install/setup.bash"
