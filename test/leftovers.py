"""What tests leave behind in their ROS domain: participants of their process, and nodes."""

import gc
import os
from pathlib import Path
import time

_MARK = 'MOSS_TESTS_PROCESS'


def participants() -> int:
    """Count the UDP sockets of this process; a participant of DDS has several."""
    rows = Path('/proc/net/udp').read_text().splitlines()[1:]
    udp = {f'socket:[{row.split()[9]}]' for row in rows}
    return sum(_target(one) in udp for one in Path('/proc/self/fd').iterdir())


def collected() -> int:
    """Count them again once nothing holds them but cycles."""
    if participants():
        gc.collect()
    return participants()


def mark() -> None:
    """Let what this process starts be known by its environment."""
    os.environ[_MARK] = str(os.getpid())


def nodes(timeout_s: float = 10.0) -> dict[int, str]:
    """
    Return the nodes that run still, of those that this process started, and their commands.

    :param timeout_s: how long to wait for those that are about to end, seconds.
    """
    end_s = time.monotonic() + timeout_s
    while (found := _running()) and time.monotonic() < end_s:
        time.sleep(0.1)
    return found


def _running() -> dict[int, str]:
    mark, found = f'{_MARK}={os.getpid()}'.encode(), {}
    for one in Path('/proc').glob('[0-9]*'):
        try:
            is_own = mark in (one / 'environ').read_bytes().split(b'\0')
            words = (one / 'cmdline').read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            continue
        if is_own and '--ros-args' in words:
            found[int(one.name)] = words
    return found


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ''
