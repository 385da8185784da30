#!/usr/bin/env bash
# Set up and build the documentation site into out/docs: scripts/docs.sh [mkdocs's arguments]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

moss_options "$@"
moss_setup test
cd "$moss_root"
# The command and parameter tables are made from the modules of this tree.
PYTHONPATH=$moss_root${PYTHONPATH:+:$PYTHONPATH} NO_MKDOCS_2_WARNING=1 \
  python -m mkdocs build "${moss_args[@]}"
moss_say "open out/docs/index.html"
