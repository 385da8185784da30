#!/usr/bin/env bash
# Test the commit that is checked out on every distribution that PyPI has, for a night:
#   scripts/nightly.sh [STEP...] [--list] [--dry-run] [--folder DIR] [--torch-index URL]
# Each distribution has a clone with an environment of its own (about 3 GB each) in --folder, or MOSS_NIGHTLY, or a folder for temporary
# files; never in this repository. All steps run, whatever fails; a summary ends the output. Exit status 1 if a step failed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

steps=(jazzy kilted mutations hosts reliability lerobot study video)
declare -A about=(
  [jazzy]='the whole suite on ROS 2 Jazzy'
  [kilted]='the whole suite on ROS 2 Kilted'
  [mutations]='10,000 mutated recordings'
  [hosts]='the recipe for video libraries, each in its own environment'
  [reliability]='every part of scripts/reliability.py, small'
  [lerobot]='exported data sets, loaded by LeRobot itself; needs Python 3.12'
  [study]='scripts/reproduce.sh --small: the study of variants'
  [video]='scripts/reproduce.sh --video --small: that of clips and questions')
# Of one step; a hang must not take the next night.
limit=4h

moss_take_folder "${MOSS_NIGHTLY:-${TMPDIR:-/tmp}/moss_nightly}" "$@"
folder=$moss_folder is_dry=0 chosen=()
moss_options "${moss_rest[@]}"
for word in "${moss_args[@]}"; do
  case $word in
    --list)
      for step in "${steps[@]}"; do printf '%-12s %s\n' "$step" "${about[$step]}"; done
      exit 0
      ;;
    --dry-run) is_dry=1 ;;
    *)
      [[ -n ${about[$word]:-} ]] || moss_fail "unknown step '$word': expected one of ${steps[*]}, --list, --dry-run," \
        '--folder DIR or --torch-index URL'
      chosen+=("$word")
      ;;
  esac
done
((${#chosen[@]})) || chosen=("${steps[@]}")
! moss_is_ros || moss_fail "ROS_DISTRO is $ROS_DISTRO: expected none to be sourced, since each distribution comes from PyPI"

# The clone of a distribution, at the commit that is checked out here; its environment stays.
prepare() {
  local clone=$folder/$1
  [[ -e $clone/.git ]] || git clone --quiet --no-checkout "$moss_root" "$clone"
  git -C "$clone" fetch --quiet "$moss_root" HEAD
  git -C "$clone" checkout --quiet --force --detach FETCH_HEAD
  git -C "$clone" clean --quiet -fd
}

# What a step runs, in the clone of its distribution.
torch=()
if [[ -n ${MOSS_TORCH_INDEX:-} ]]; then torch=(--torch-index "$MOSS_TORCH_INDEX"); fi
command_of() {
  case $1 in
    jazzy | kilted) command=(bash scripts/test.sh "${torch[@]}") ;;
    mutations) command=(.venv/bin/python test/mutations.py 10000) ;;
    hosts) command=(bash scripts/hosts.sh --all --folder "$folder/hosts" "${torch[@]}") ;;
    reliability) command=(.venv/bin/python scripts/reliability.py --small) ;;
    lerobot) command=(bash scripts/lerobot.sh --folder "$folder/lerobot" "${torch[@]}") ;;
    study) command=(bash scripts/reproduce.sh --small "${torch[@]}") ;;
    video) command=(bash scripts/reproduce.sh --video --small "${torch[@]}") ;;
  esac
}

run_step() {
  local ros=jazzy
  if [[ $1 == kilted ]]; then ros=kilted; fi
  prepare "$ros"
  cd "$folder/$ros"
  export MOSS_ROS=$ros
  # They would continue those of the night before, and so do nothing.
  case $1 in
    study) rm -rf runs/reproduce_small ;;
    video) rm -rf runs/reproduce_small/video ;;
  esac
  if [[ ${command[0]} == .venv/* ]]; then
    bash scripts/setup.sh test "${torch[@]}"
    set +u
    . install/setup.bash
    set -u
    export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
  fi
  timeout "$limit" "${command[@]}"
}

if ((is_dry)); then
  for step in "${chosen[@]}"; do
    command_of "$step"
    printf '%s:' "$step"
    printf ' %q' "${command[@]}"
    printf '\n'
  done
  exit 0
fi

mkdir -p "$folder/log"
lines=() failed=()
for step in "${chosen[@]}"; do
  log=$folder/log/$step.txt began=$SECONDS status=0 result=passed
  command_of "$step"
  moss_say "$step: ${about[$step]}; its output goes to $log"
  # In a process of its own: with "||", a function would ignore its own failures.
  (run_step "$step") >"$log" 2>&1 &
  wait $! || status=$?
  if ((status == 124)); then
    result="not done in $limit"
  elif ((status)); then
    result="failed, status $status"
  fi
  if ((status)); then failed+=("$step"); fi
  lines+=("$(printf '%-12s %-20s %4d min  %s' "$step" "$result" $(((SECONDS - began + 59) / 60)) "$log")")
done

printf '\nmoss_perception at %s\n' "$(git -C "$moss_root" rev-parse --short HEAD)"
printf '%s\n' "${lines[@]}"
for step in "${failed[@]}"; do
  printf '\nthe last lines of %s:\n' "$step"
  tail -n 5 "$folder/log/$step.txt"
done
((${#failed[@]} == 0))
