#!/usr/bin/env bash
# Make scenes, train model variants on them, and compare them: scripts/reproduce.sh --small [--torch-index URL]
#   scripts/reproduce.sh [--seeds N] [--device DEVICE] [--jobs N]
#   scripts/reproduce.sh --video [--small] [--clips FOLDER]
# With --small: three variants, one of them told the lead times, one seed, 500 scenes: about twelve minutes on two quiet cores.
# Without --small: all variants, three seeds each, 8,000 scenes: more than a day on two cores.
# With a GPU: --device cuda --jobs 15 (trainings at once; MPS lets them share it) --seeds 5.
# With --video: clips of FOLDER and its clips.tsv, and questions about scenes (docs/video.md) instead, five and three seeds each.
# With --small: clips of made-up things if there is no FOLDER, three variants, one seed, 270 scenes: under ten minutes on two quiet cores.
# If you stop it and start it again, it continues.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

small=0 video=0 clips= seed_count= device=cpu jobs_at_once=
words=()
while (($#)); do
  case $1 in
    --small) small=1 ;;
    --video) video=1 ;;
    --seeds | --device | --jobs | --clips)
      (($# > 1)) || moss_fail "$1 has no value: expected $1 VALUE"
      case $1 in
        --seeds) seed_count=$2 ;; --device) device=$2 ;; --jobs) jobs_at_once=$2 ;;
        --clips) clips=$2 ;;
      esac
      shift
      ;;
    *) words+=("$1") ;;
  esac
  shift
done
for number in "${seed_count:-1}" "${jobs_at_once:-1}"; do
  [[ $number =~ ^[1-9][0-9]*$ ]] || moss_fail "--seeds or --jobs '$number' is not allowed: expected 1 or more"
done
((video)) || [[ -z $clips ]] || moss_fail '--clips belongs to --video: expected scripts/reproduce.sh --video --clips FOLDER'
((!video || small)) || [[ -n $clips ]] || moss_fail '--video without --small needs your clips: expected --clips FOLDER'
[[ -z $clips || -e $clips/clips.tsv ]] || moss_fail "$clips has no clips.tsv: expected the table that docs/video.md describes"
clips=${clips:+$(realpath "$clips")}
moss_options "${words[@]}"
((${#moss_args[@]} == 0)) ||
  moss_fail "unknown argument '${moss_args[0]}': expected scripts/reproduce.sh [--small] [--video [--clips FOLDER]] [--seeds N] [--device DEVICE] [--jobs N] [--torch-index URL]"
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
  deciding=(tsm displacement_12 displacement_12_history_time) others=()
  seeds=(0)
  train_scenes=250 test_scenes=100 validation_scenes=60 factor_scenes=100
  first=(--epochs 16) options=(--epochs 3) measured=(--monitored 60) moving=(--scenes 6 --choose 2)
  factors=(visual dynamic) before=displacement_12
else
  folder=runs/reproduce
  # First the variants that decide the claim.
  deciding=(displacement_12_history_time flow_history_time displacement_12_time flow_read_time moss_12_time displacement_1_time
    displacement_123_time)
  others=(both_12_time flow_time moss_flow_time recurrent_time tsm_time displacement_1 displacement_12 displacement_123 both_12 flow
    moss_12 moss_flow recurrent tsm last_frame pooling)
  mapfile -t seeds < <(seq 0 $((${seed_count:-3} - 1)))
  # Of each domain.
  train_scenes=4000 test_scenes=600 validation_scenes=300 factor_scenes=200 first=() options=() measured=()
  moving=(--scenes 60 --choose 4)
  factors=(visual dynamic textures light exposure camera intrinsics colours distractors noise motion_blur rolling_shutter
    jpeg timing physics latency)
  before=moss_12
fi
after=displacement_12_history_time
# Whose training the options change.
mixed=displacement_12_time

# make_scenes NAME COUNT FIRST_SEED DOMAIN [more options]
make_scenes() {
  "$moss" record --cell full --out "$folder/$1" --scenes "$2" --seed "$3" --domain "$4" \
    --workers "$workers" "${@:5}"
}

# wait_for_place: wait until another job may start.
wait_for_place() {
  while (($(jobs -rp | wc -l) >= jobs_at_once)); do wait -n || failed; done
}
# If one training fails, the script ends and stops the others.
jobs=()
trap 'kill $(jobs -rp) 2>/dev/null || true' EXIT
failed() { moss_fail "a training failed: see its log in $folder"; }

compare_on_video() {
  local variants=(pooling displacement_12 flow pooling_fine moss_12 displacement_1 displacement_123 moss_1 moss_123 tsm recurrent both_12)
  local shared=(--threads 1 --device "$device") counts=(4000 600) variant seed clips_seeds=${seed_count:-5} questions_seeds=${seed_count:-3}
  folder=runs/reproduce/video
  local clips_options=("${shared[@]}") questions_options=("${shared[@]}")
  if ((small)); then
    folder=runs/reproduce_small/video counts=(150 60)
    variants=("${variants[@]:0:3}") clips_seeds=1 questions_seeds=1
    clips_options+=(--folds 2 --clips 320) questions_options+=(--clips 800 --questions 40)
  fi
  mkdir -p "$folder"
  if [[ -z $clips ]]; then
    clips=$folder/made_up
    python -m study.video.made_up --out "$clips" --clips 60
  fi
  make_scenes train_sim "${counts[0]}" 0 sim --latency-draws 1 --candidates 14
  make_scenes sim "${counts[1]}" 1000000 sim
  make_scenes held_out "${counts[1]}" 1200000 sim --split held_out
  # Each process trains one variant, with a log; all keep their answers in the same folder. Seed 0 of all variants comes first.
  for ((seed = 0; seed < (clips_seeds > questions_seeds ? clips_seeds : questions_seeds); seed++)); do
    on_clips=(--seeds $((seed + 1)) "${clips_options[@]}") on_questions=(--seeds $((seed + 1)) "${questions_options[@]}") jobs=()
    for variant in "${variants[@]}"; do
      printf '[reproduce] training %s, seed %s: %s\n' "$variant" "$seed" "$folder/$variant.log"
      if ((seed < clips_seeds)); then
        wait_for_place
        python -m study.video "$clips" --table "$clips/clips.tsv" --out "$folder/clips" --variants "$variant" "${on_clips[@]}" \
          >>"$folder/$variant.log" 2>&1 &
        jobs+=($!)
      fi
      if ((seed < questions_seeds)); then
        wait_for_place
        python -m study.questions --scenes "$folder/train_sim" --test "$folder/sim" "$folder/held_out" --out "$folder/questions" \
          --video "$clips" --table "$clips/clips.tsv" --variants "$variant" "${on_questions[@]}" >>"$folder/$variant.log" 2>&1 &
        jobs+=($!)
      fi
    done
    for job in "${jobs[@]}"; do wait "$job" || failed; done
  done
  # All answers are there: these commands only compare them.
  python -m study.video "$clips" --table "$clips/clips.tsv" --out "$folder/clips" --collect "${on_clips[@]}"
  python -m study.questions --scenes "$folder/train_sim" --test "$folder/sim" "$folder/held_out" --out "$folder/questions" \
    --video "$clips" --table "$clips/clips.tsv" --collect "${on_questions[@]}"
  cp docs/video.md "$folder/video.md"
  python -m study.video.page --video "$folder/clips/results.json" --questions "$folder/questions/results.json" \
    --page "$folder/video.md" --out "$folder/images"
  printf '[reproduce] the tables and pictures are in %s\n' "$folder/video.md"
}

if ((video)); then
  compare_on_video
  exit
fi

# Each candidate of a scene is also executed at other latencies, so that variants with time inputs learn and tell what these change.
draws=3
((small)) && draws=1
make_scenes train_sim "$train_scenes" 0 sim --latency-draws 1 --candidates 14
make_scenes train_randomised "$train_scenes" 2000000 randomised --latency-draws 1 --candidates 14
make_scenes sim "$test_scenes" 1000000 sim --latency-draws "$draws"
make_scenes shifted "$test_scenes" 1100000 shifted --latency-draws "$draws"
make_scenes held_out "$test_scenes" 1200000 sim --split held_out --latency-draws "$draws"
# Of these only the choice of variants knows.
make_scenes validation_sim "$validation_scenes" 1500000 sim
validation=("sim=$folder/validation_sim")
if ((!small)); then
  make_scenes validation_shifted "$validation_scenes" 1600000 shifted
  make_scenes validation_held_out "$validation_scenes" 1700000 sim --split held_out
  validation+=("shifted=$folder/validation_shifted" "held_out=$folder/validation_held_out")
fi
# The scenes of sim again, with one factor of the shift or with several.
paired=("sim=$folder/sim")
for factor in "${factors[@]}"; do
  make_scenes "factors/$factor" "$factor_scenes" 1000000 "shifted.$factor"
  paired+=("$factor=$folder/factors/$factor")
done

# start_training NAME RUN CONFIG SEED [more options]: train on the sets in $train_sets in the background, with a log in RUN.
train_sets=("$folder/train_sim")
start_training() {
  mkdir -p "$2"
  printf '[reproduce] training %s, seed %s: %s\n' "$1" "$4" "$2/train.log"
  python -m study.train --config "$3" --data "${train_sets[@]}" --run "$2" --seed "$4" --threads 1 \
    --device "$device" "${@:5}" \
    >>"$2/train.log" 2>&1 &
}

# All variants start from the same backbone. That of the stored results is in the repository, so that variants trained later
# start alike. This script made it from the scenes of sim above; to train it again, move study/results/backbone_64 away.
initial=$folder/backbone/backbone.safetensors
if ((!small)) && [[ ! -e $initial && -e study/results/backbone_64/backbone.safetensors ]]; then
  mkdir -p "$folder/backbone"
  cp study/results/backbone_64/* "$folder/backbone/"
fi
if [[ ! -e $initial ]]; then
  start_training backbone "$folder/backbone" study/backbone.yaml 0 "${first[@]}"
  wait $! || failed
fi
train_sets+=("$folder/train_randomised")

# train_variants VARIANT...: train all seeds of the variants, some at once.
train_variants() {
  local seed variant run config
  for variant in "$@"; do
    config=study/variants/$variant.yaml
    for seed in "${seeds[@]}"; do
      run=$folder/variants/${variant}_seed_$seed
      [[ -e $run/$variant.safetensors ]] && continue
      wait_for_place
      start_training "$variant" "$run" "$config" "$seed" --initial "$initial" "${options[@]}"
      jobs+=($!)
    done
  done
}

# start_option NAME CONFIG SEED [more options]: what an option of the training brings, unless it was trained.
start_option() {
  local run=$folder/options/$1_seed_$3
  compared+=("$1=$run")
  if compgen -G "$run/*.md" >/dev/null; then return; fi
  wait_for_place
  start_training "$1" "$run" "$2" "$3" --initial "$initial" "${@:4}"
  jobs+=($!)
}

train_variants "${deciding[@]}"
train_variants "${others[@]}"
compared=()
if ((!small)); then
  for seed in "${seeds[@]}"; do compared+=("mixed=$folder/variants/${mixed}_seed_$seed"); done
  # As many steps, on half of the scenes.
  all_sets=("${train_sets[@]}") train_sets=("$folder/train_sim")
  for seed in "${seeds[@]}"; do start_option sim_only "study/variants/$mixed.yaml" "$seed" --epochs 6; done
  train_sets=("${all_sets[@]}")
  for option in frozen plain annealed motion_loss mask_loss more_monitoring rates; do
    start_option "$option" "study/options/$option.yaml" 0
  done
  start_option twice_as_long "study/variants/$mixed.yaml" 0 --epochs 6
  start_option four_times_as_long "study/variants/$mixed.yaml" 0 --epochs 12
  compared+=("history=$folder/variants/${after}_seed_0")
  start_option history_twice_as_long "study/variants/$after.yaml" 0 --epochs 6
fi
for job in "${jobs[@]}"; do wait "$job" || failed; done

python -m study.compare --runs "$folder/variants" --scenes "sim=$folder/sim" "shifted=$folder/shifted" \
  "held_out=$folder/held_out" --validation "${validation[@]}" --out "$folder/variants.json" --plots "$folder/plots" \
  "${measured[@]}"
if ((!small)); then
  # Chosen by validation alone.
  python -m study.compare --runs "${compared[@]}" --scenes "${validation[@]}" --reference mixed --monitored 0 \
    --out "$folder/training.json" >"$folder/training.txt"
fi
python -m study.compare --runs "$folder/variants/${before}_seed_0" "$folder/variants/${after}_seed_0" --scenes "${paired[@]}" \
  --monitored 0 --out "$folder/factors.json" >"$folder/factors.txt"
python -m study.motion_error "${moving[@]}" --out "$folder/motion_error.json" >"$folder/motion_error.txt"
python -m study.pictures --motion "$folder/motion_error.json" --variants "$folder/variants.json" \
  --factors "$folder/factors.json" --before "$before" --after "$after" --timed "$after" --out "$folder/plots"
printf '[reproduce] the tables of single factors are in %s, the pictures in %s\n' "$folder/factors.txt" "$folder/plots"
printf '[reproduce] to print the tables again: python -m study.compare --results %s\n' "$folder/variants.json"
