#!/usr/bin/env bash
# Export a data set, as video and as JPEGs, and load it with LeRobot itself, in an environment made for it:
#   scripts/lerobot.sh [--folder DIR] [--torch-index URL]
# LeRobot needs Python 3.12 or newer and a torch of its own. Its environment (5 GB, less with the CPU build of torch) lies in --folder, or
# MOSS_LEROBOT, or a folder for temporary files; never in this repository.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

moss_take_folder "${MOSS_LEROBOT:-${TMPDIR:-/tmp}/moss_lerobot}" "$@"
folder=$moss_folder list=$moss_requirements/nightly/lerobot.txt python=''
moss_options "${moss_rest[@]}"
((${#moss_args[@]} == 0)) || moss_fail "unknown argument '${moss_args[0]}': expected --folder DIR or --torch-index URL"
for name in python3 python3.12 python3.13; do
  if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
    python=$name
    break
  fi
done
[[ -n $python ]] || moss_fail 'LeRobot needs Python 3.12 or newer: expected python3.12 on the PATH'

venv=$folder/environment
mkdir -p "$folder"
stamp=$(sha256sum <"$list" | cut -d ' ' -f 1)
if [[ ! -e $venv/stamp || $(<"$venv/stamp") != "$stamp" ]]; then
  moss_say "installing $(grep -v '^#' "$list") into $venv"
  "$python" -m venv --clear "$venv"
  index=()
  if [[ -n ${MOSS_TORCH_INDEX:-} ]]; then index=(--extra-index-url "$MOSS_TORCH_INDEX"); fi
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-compile "${index[@]}" -r "$list" >"$venv/pip.log" 2>&1 ||
    moss_fail "pip could not install LeRobot: $(grep -E '^ERROR' "$venv/pip.log" | tail -n 1); see $venv/pip.log"
  printf '%s\n' "$stamp" >"$venv/stamp"
fi

moss_setup test
export PYTHONPATH=$moss_root${PYTHONPATH:+:$PYTHONPATH}
made=$(mktemp -d "$folder/data.XXXXXX")
trap 'rm -rf "$made"' EXIT
python -m moss_perception import "$moss_root/samples/sim_20" --out "$made/samples"
for images in video jpeg; do
  python -m moss_perception export-dataset "$made/samples" --lerobot "$made/$images" --images "$images"
  # Without the packages of this environment, which are of another Python.
  env -u PYTHONPATH -u LD_LIBRARY_PATH HF_HUB_OFFLINE=1 "$venv/bin/python" "$moss_root/scripts/check_lerobot.py" "$made/$images"
done
