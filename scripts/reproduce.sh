#!/usr/bin/env bash
# Make scenes, train model variants on them, and compare them: scripts/reproduce.sh --small [--torch-index URL]
#   scripts/reproduce.sh [--seeds N] [--device DEVICE] [--jobs N]
# With --small: two variants, one seed, 800 scenes: about eleven minutes on two cores.
# Without --small: all variants and experiments, three seeds each, 4,000 scenes: about nine hours on two cores, 43 GB of disk.
# With a GPU: --device cuda --jobs 15 (trainings at once; MPS lets them share it) --seeds 5.
# If you stop it and start it again, it continues.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

small=0 seed_count=3 device=cpu jobs_at_once=
words=()
while (($#)); do
  case $1 in
    --small) small=1 ;;
    --seeds | --device | --jobs)
      (($# > 1)) || moss_fail "$1 has no value: expected $1 VALUE"
      case $1 in
        --seeds) seed_count=$2 ;; --device) device=$2 ;; --jobs) jobs_at_once=$2 ;;
      esac
      shift
      ;;
    *) words+=("$1") ;;
  esac
  shift
done
for number in "$seed_count" "${jobs_at_once:-1}"; do
  [[ $number =~ ^[1-9][0-9]*$ ]] || moss_fail "--seeds or --jobs '$number' is not allowed: expected 1 or more"
done
moss_options "${words[@]}"
((${#moss_args[@]} == 0)) ||
  moss_fail "unknown argument '${moss_args[0]}': expected scripts/reproduce.sh [--small] [--seeds N] [--device DEVICE] [--jobs N] [--torch-index URL]"
moss_setup test
moss_build
cd "$moss_root"
# With OMP_NUM_THREADS set, nproc returns the number of threads.
workers=$(env -u OMP_NUM_THREADS nproc)
jobs_at_once=${jobs_at_once:-$workers}
export MUJOCO_GL=${MUJOCO_GL:-egl} OMP_NUM_THREADS=1
moss=$moss_root/install/moss_perception/lib/moss_perception/moss

# Each size has its own folder, since their results must not be mixed.
if ((small)); then
  folder=runs/reproduce_small
  deciding=(tsm moss_123) others=() experiments=()
  seeds=(0)
  train_scenes=800 test_scenes=150 first=(--epochs 16) options=(--epochs 3) measured=(--monitored 60)
else
  folder=runs/reproduce
  # First the variants that decide the claim.
  deciding=(moss_123 tsm moss_12 recurrent moss_1)
  others=(last_frame pooling moss_23 moss_prefixes moss_centred flow)
  experiments=(moss_123_short moss_123_light moss_12_fine moss_12_flow moss_12_long recurrent_long moss_123_long)
  mapfile -t seeds < <(seq 0 $((seed_count - 1)))
  train_scenes=4000 test_scenes=600 first=() options=() measured=()
fi

# make_scenes NAME COUNT FIRST_SEED DOMAIN [more options]
make_scenes() {
  "$moss" record --cell full --out "$folder/$1" --scenes "$2" --seed "$3" --domain "$4" \
    --workers "$workers" "${@:5}"
}

make_scenes train "$train_scenes" 0 sim
make_scenes sim "$test_scenes" 1000000 sim
make_scenes shifted "$test_scenes" 1100000 shifted
make_scenes held_out "$test_scenes" 1200000 sim --split held_out

# start_training NAME RUN CONFIG SEED [more options]: train in the background, with a log in RUN.
start_training() {
  mkdir -p "$2"
  printf '[reproduce] training %s, seed %s: %s\n' "$1" "$4" "$2/train.log"
  python -m study.train --config "$3" --data "$folder/train" --run "$2" --seed "$4" --threads 1 \
    --device "$device" "${@:5}" \
    >>"$2/train.log" 2>&1 &
}

# If one training fails, the script ends and stops the others.
jobs=()
trap 'kill $(jobs -rp) 2>/dev/null || true' EXIT
failed() { moss_fail "a training failed: see its log in $folder"; }

# All variants start from the same backbone. That of the stored results is in the repository, so that variants trained later
# start alike. This script made it from the scenes above; to train it again, move study/results/backbone_64 away.
initial=$folder/backbone/backbone.safetensors
if ((!small)) && [[ ! -e $initial && -e study/results/backbone_64/backbone.safetensors ]]; then
  mkdir -p "$folder/backbone"
  cp study/results/backbone_64/* "$folder/backbone/"
fi
if [[ ! -e $initial ]]; then
  start_training backbone "$folder/backbone" study/backbone.yaml 0 "${first[@]}"
  wait $! || failed
fi

# train_variants VARIANT...: train the seeds of a variant in turn, so that parallel trainings do not fill the same feature cache.
train_variants() {
  local seed variant run maps config
  for variant in "$@"; do
    config=study/variants/$variant.yaml
    [[ -e $config ]] || config=study/experiments/$variant.yaml
    for seed in "${seeds[@]}"; do
      run=$folder/variants/${variant}_seed_$seed
      [[ -e $run/$variant.safetensors ]] && continue
      # Variants that read one frame, or the images, cannot use the feature cache of clips.
      maps=(--cache "$folder/maps/seed_$seed")
      [[ $variant == last_frame || $variant == *flow ]] && maps=()
      while (($(jobs -rp | wc -l) >= jobs_at_once)); do wait -n || failed; done
      start_training "$variant" "$run" "$config" "$seed" --initial "$initial" \
        "${maps[@]}" "${options[@]}"
      jobs+=($!)
    done
  done
}

# With more parallel trainings than seeds, several would fill the same feature cache: fill it first, for the longest training.
if ((${#seeds[@]} < jobs_at_once)); then
  for seed in "${seeds[@]}"; do
    start_training maps "$folder/maps_seed_$seed" study/experiments/moss_12_long.yaml "$seed" \
      --initial "$initial" --cache "$folder/maps/seed_$seed" --only-cache --workers "$((workers / ${#seeds[@]}))" \
      "${options[@]}"
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || failed; done
  jobs=()
fi

train_variants "${deciding[@]}"
train_variants "${others[@]}"
train_variants "${experiments[@]}"
for job in "${jobs[@]}"; do wait "$job" || failed; done
rm -rf "$folder/maps"

python -m study.compare --runs "$folder/variants" --scenes "sim=$folder/sim" "shifted=$folder/shifted" \
  "held_out=$folder/held_out" --reference moss_123 --out "$folder/variants.json" --plots "$folder/plots" "${measured[@]}"
printf '[reproduce] to print the tables again: python -m study.compare --results %s\n' "$folder/variants.json"
