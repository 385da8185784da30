"""Where the executables under test are: installed, or in a tree that isn't built as modules."""

import os
from pathlib import Path
import sys

from moss_perception.core.errors import MossError
from moss_perception.core.resources import executable

ROOT = Path(__file__).resolve().parents[1]


def prefix() -> str:
    """Return where the package is installed; empty if it isn't built."""
    try:
        return str(executable('moss').parents[2])
    except MossError:
        return ''


def command(name: str) -> list[str]:
    """Return what starts an executable: ``moss`` or a node."""
    if prefix():
        return [str(executable(name))]
    return [sys.executable, '-c', start(name)]


def start(name: str) -> str:
    """Return the Python code that starts an executable."""
    module = 'cli.entry_point' if name == 'moss' else 'ros.entry_points'
    return (f'import sys; from moss_perception.{module} import {name}; '
            f'sys.exit({name}())')


def environment(*first: Path, **more: str) -> dict[str, str]:
    """
    Return the environment to start it in, from any folder.

    :param first: folders that Python looks in before all others.
    :param more: further variables.
    """
    # Of an installation, what is installed has to be imported: not the tree around this file.
    paths = [x for x in os.environ.get('PYTHONPATH', '').split(os.pathsep) if x and not (
        prefix() and Path(x).resolve() == ROOT)]
    if not prefix():
        paths.insert(0, str(ROOT))
    paths = [*map(str, first), *paths]
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(paths), 'PYTHONUNBUFFERED': '1', **more}


def with_executables(folder: Path, *names: str) -> dict[str, str]:
    """
    Return an environment in which a runner finds the nodes that it starts.

    :param folder: of the test; in a tree that isn't built, executables are made in it.
    """
    if prefix():
        return environment()
    made = folder / 'prefix' / 'lib' / 'moss_perception'
    made.mkdir(parents=True)
    for name in names:
        path = made / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{start(name)}" "$@"\n')
        path.chmod(0o755)
    # The middleware's own libraries are found along the same path.
    prefixes = [str(folder / 'prefix'), os.environ.get('AMENT_PREFIX_PATH', '')]
    return environment(AMENT_PREFIX_PATH=os.pathsep.join(prefixes))


def report() -> str:
    """Say what the tests of executables run."""
    if prefix():
        return f'executables: as installed in {prefix()}'
    return f'executables: the package is not built, so the modules in {ROOT}'
