"""Work for pools of processes, in a module that their workers can import."""

import os
from pathlib import Path
import time

from moss_perception.core.errors import ConfigError


def slow_first(number):
    time.sleep(0.2 * (number == 0))
    return number, os.getpid()


def die_once(item):
    marks, number = item
    mark = Path(marks) / str(number)
    if number == 2 and not mark.exists():
        mark.touch()
        os._exit(9)
    return number


def die(item):
    os._exit(9)


def refuse(item):
    raise ConfigError(f'{item} is not allowed: expected another')


def note_and_wait(marks):
    (Path(marks) / str(os.getpid())).touch()
    time.sleep(60)


def say_node(item):
    """Say on which node this runs, and stay there until the test has seen it."""
    import ray
    folder, number = item
    node = ray.get_runtime_context().get_node_id()
    (Path(folder) / f'{number}_{node}').touch()
    deadline = time.monotonic() + 30
    while not (Path(folder) / 'go').exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return number
