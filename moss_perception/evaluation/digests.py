"""Digests of what a record of an evaluation depends on: recording, checkpoint, options, code."""

from collections.abc import Iterable, Mapping
from functools import cache
import hashlib
from importlib.metadata import PackageNotFoundError, version
import json
from pathlib import Path
from typing import Any

from moss_perception.core.errors import BagError
from moss_perception.models.manifest import file_sha256, graphs_beside

_ROOT = Path(__file__).resolve().parents[1]
# A replay imports nothing else; pages and commands may change without another result.
_ROOMS = ('core', 'data', 'evaluation', 'models', 'moss', 'runtime')
_LEFT_OUT = ('evaluation/report/', 'evaluation/look/', 'data/imports/', 'data/clips/')
_PACKAGES = ('mcap', 'numpy', 'onnxruntime', 'opencv-python-headless', 'rosbags', 'simplejpeg',
             'torch')
_LOGS = ('-wal', '-journal')
_PIECE = 2**20


def digest(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of values that JSON can hold, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def recording_digest(path: Path | str) -> str:
    """
    Return the SHA-256 of a recording's files.

    :param path: a rosbag2 folder, or an ``.mcap`` or ``.db3`` file, which may have logs and a
        ``metadata.yaml`` beside it.
    :raises BagError: if it is missing or can't be read.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        files = [(x.relative_to(path).as_posix(), x) for x in path.rglob('*') if x.is_file()]
    else:
        beside = [(log, path.with_name(path.name + log)) for log in _LOGS]
        beside.append(('metadata.yaml', path.with_name('metadata.yaml')))
        files = [(path.suffix, path), *(x for x in beside if x[1].is_file())]
        if not path.is_file():
            raise BagError(f'{path}: no such recording: expected a folder of a rosbag2, or an '
                           '.mcap or .db3 file')
    return _of_files(sorted(files))


def _of_files(files: Iterable[tuple[str, Path]]) -> str:
    whole = hashlib.sha256()
    for name, path in files:
        one = hashlib.sha256()
        try:
            with path.open('rb') as file:
                while piece := file.read(_PIECE):
                    one.update(piece)
        except OSError as error:
            raise BagError(f"{path} can't be read: {error.strerror}") from error
        whole.update(f'{one.hexdigest()}  {json.dumps(name)}\n'.encode())
    return whole.hexdigest()


def table_digest(path: str) -> str:
    """
    Return the SHA-256 of a table of outcomes.

    :raises BagError: if it can't be read.
    """
    return _of_files([('', Path(path).expanduser())])


def graphs_digest(model: Path) -> str:
    """Return the SHA-256 of the graphs beside a checkpoint."""
    return digest({path.name: file_sha256(path) for path in graphs_beside(model)})


@cache
def code_digest() -> str:
    """Return the SHA-256 of the sources and packages that a replay runs."""
    sources = {name: file_sha256(path) for room in _ROOMS
               for path in (_ROOT / room).rglob('*.py')
               if not (name := path.relative_to(_ROOT).as_posix()).startswith(_LEFT_OUT)}
    return digest({'sources': sources, 'packages': {name: _version(name) for name in _PACKAGES}})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ''
