#!/usr/bin/env bash
# Run the recipe of docs/moss.md for a video library, in an environment made for it:
#   scripts/hosts.sh NAME... | --all | --list [--folder DIR] [--torch-index URL]
# The environments (about 1 GB each) lie in --folder, or MOSS_HOSTS, or a folder for temporary files; never in this repository.
# The versions that worked go into docs/results/hosts.json; python docs/generate/hosts.py writes the page's table from it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

moss_take_folder "${MOSS_HOSTS:-${TMPDIR:-/tmp}/moss_hosts}" "$@"
folder=$moss_folder names=()
moss_options "${moss_rest[@]}"
mapfile -t known < <(python3 "$moss_root/scripts/hosts.py" --list)
for word in "${moss_args[@]}"; do
  case $word in
    --list) printf '%s\n' "${known[@]}"; exit 0 ;;
    --all) names=("${known[@]}") ;;
    *)
      [[ " ${known[*]} " == *" $word "* ]] || moss_fail "unknown library '$word': expected --all or one of ${known[*]}"
      names+=("$word")
      ;;
  esac
done
((${#names[@]})) || moss_fail "nothing to run: expected scripts/hosts.sh NAME, with one of ${known[*]}, or --all"
moss_python=''
moss_choose_bare_python
failed=()
for name in "${names[@]}"; do
  venv=$folder/$name list=$moss_requirements/hosts/$name.txt
  mkdir -p "$venv"
  stamp=$(cat "$list" "$moss_requirements/torch.txt" | sha256sum | cut -d ' ' -f 1)
  if [[ ! -e $venv/stamp || $(<"$venv/stamp") != "$stamp" ]]; then
    moss_say "$name: installing $(grep -v '^#' "$list" | tr '\n' ' ')into $venv"
    "$moss_python" -m venv --clear "$venv"
    if [[ -n ${MOSS_TORCH_INDEX:-} ]]; then
      # Of one index, since torchvision has to be built for the very build of torch.
      { cat "$moss_requirements/torch.txt"; grep '^torchvision==' "$list" || true; } >"$venv/torch.txt"
      if ! "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-compile --no-deps \
          --index-url "$MOSS_TORCH_INDEX" -r "$venv/torch.txt" >"$venv/pip.log" 2>&1; then
        moss_say "$name: pip could not install torch from $MOSS_TORCH_INDEX; see $venv/pip.log"
        failed+=("$name")
        continue
      fi
    fi
    if ! "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-compile -r "$moss_requirements/torch.txt" -r "$list" \
        >"$venv/pip.log" 2>&1; then
      moss_say "$name: pip could not install its packages: $(grep -E '^ERROR' "$venv/pip.log" | tail -n 1); see $venv/pip.log"
      failed+=("$name")
      continue
    fi
    if grep -q '^torchvision==' "$list" && ! "$venv/bin/python" -c 'import torchvision' 2>"$venv/torchvision.log"; then
      moss_say "$name: torchvision is not built for $("$venv/bin/python" -c 'import torch; print("torch", torch.__version__)'):" \
        "expected --torch-index with the index that torch came from; see $venv/torchvision.log"
      failed+=("$name")
      continue
    fi
    printf '%s\n' "$stamp" >"$venv/stamp"
  fi
  PYTHONPATH=$moss_root "$venv/bin/python" -W ignore "$moss_root/scripts/hosts.py" "$name" || failed+=("$name")
done
((${#failed[@]} == 0)) || moss_fail "these recipes do not work: ${failed[*]}"
