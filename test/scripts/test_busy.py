"""What keeps the cores busy beside the tests ends with their script."""

from pathlib import Path
import shutil
import signal
import subprocess
import time

import pytest

LIB = Path(__file__).resolve().parents[2] / 'scripts' / 'lib.sh'
SCRIPT = f"""
. {LIB}
moss_keep_busy
echo "${{moss_busy[@]}}"
read -r || true
"""


def state(pid):
    """Return the state of a process, such as R, or nothing where it has ended."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ''


def wait_until(what, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='there is no /proc')
@pytest.mark.parametrize('how', ['end', signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_busy_processes_end_with_the_script(how):
    script = subprocess.Popen([shutil.which('bash'), '-euo', 'pipefail', '-c', SCRIPT],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert 'keep two cores busy' in script.stdout.readline()
        busy = script.stdout.readline().split()
        assert len(busy) == 2 and all(state(pid) not in ('', 'Z') for pid in busy)
        if how == 'end':
            script.communicate('\n', timeout=60)
        else:
            script.send_signal(how)
            script.wait(timeout=60)
        wait_until(lambda: all(state(pid) in ('', 'Z') for pid in busy))
    finally:
        script.kill()
        script.communicate()
