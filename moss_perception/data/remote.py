"""
Recordings at addresses such as ``s3://bucket/bag``: fetched through fsspec to a bounded cache.

An address is a folder, or a file that ends in ``.mcap`` or ``.db3``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import fcntl
import hashlib
import json
import os
from pathlib import Path, PurePosixPath
import re
import shutil
import time
from typing import Any, IO

from moss_perception.core.errors import BagError, ConfigError, MossError

DEFAULT_SIZE = '20G'
_ADDRESS = re.compile(r'[a-z][a-z0-9+.-]+://')
_SIZE = re.compile(r'(\d+(?:\.\d+)?)([KMGT]?)B?', re.IGNORECASE)
_POLL_S = 0.2


def is_address(path: str) -> bool:
    """Tell whether a recording is not a path of this machine."""
    return bool(_ADDRESS.match(path))


def parse_size(text: str) -> int:
    """
    Read a number of bytes, such as ``20G`` or ``500M``.

    :raises ConfigError: if it is not one above 0.
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * 1024 ** ' KMGT'.index(match[2].upper() or ' ')) if match else 0
    if size < 1:
        raise ConfigError(f'--cache-size {text}: expected a size such as 20G or 500M')
    return size


def cache_folder() -> Path:
    """Return the folder in which this package caches files of a user."""
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'moss_perception'


@dataclass(frozen=True)
class Cache:
    """
    A folder of copies, which several processes use at the same time.

    :ivar folder: created if missing.
    :ivar size: bytes that all copies together may take; the copy used longest ago goes first.
    """

    folder: Path
    size: int


@contextmanager
def local(path: str, cache: Cache | None) -> Iterator[str]:
    """
    Yield the path of a recording on this machine; a copy stays there as long as it is in use.

    :param path: a path, which is yielded as it is, or an address.
    :raises BagError: if an address can't be read, or is larger than the cache.
    """
    if not is_address(path):
        yield path
        return
    if cache is None:
        raise ConfigError(f'{path}: expected a cache for recordings at addresses')
    files = _Remote(path)
    entry = cache.folder / hashlib.sha256(f'{path} {files.state}'.encode()).hexdigest()[:32]
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        with entry.with_suffix('.lock').open('w') as lock:
            while True:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not entry.exists():
                    _fetch(files, entry, cache)
                fcntl.flock(lock, fcntl.LOCK_SH)
                # Between the two locks, another process may have removed it.
                if entry.exists():
                    break
            os.utime(entry)
            yield str(entry / files.name)
    except OSError as error:
        raise BagError(f"{path} can't be copied to {cache.folder}: "
                       f'{error.strerror or error}') from error


def state_of(address: str) -> str:
    """
    Return what changes if the files at an address do, such as their sizes and ETags.

    :raises BagError: if nothing is there.
    """
    return _Remote(address).state


class _Remote:
    """The files at an address."""

    def __init__(self, address: str):
        self.address = address
        self.name = PurePosixPath(address.partition('://')[2]).name or 'recording'
        with _refused(address):
            self.system, self._root = _open(address)
            self.system.invalidate_cache()
            if self._is_file():
                found = {self._root: self.system.info(self._root)}
            else:
                found = self.system.find(self._root, detail=True)
        self.files: dict[str, Any] = dict(sorted(found.items()))
        if not self.files:
            raise BagError(f'{address}: no such recording: expected a folder of a rosbag2, or an '
                           '.mcap or .db3 file')

    def _is_file(self) -> bool:
        return self.name.endswith(('.mcap', '.db3'))

    @property
    def size(self) -> int:
        return sum(one['size'] or 0 for one in self.files.values())

    @property
    def state(self) -> str:
        marks = {path: self.system.ukey(path) for path in self.files}
        return hashlib.sha256(json.dumps(marks).encode()).hexdigest()

    def copy(self, folder: Path) -> None:
        with _refused(self.address):
            for path in self.files:
                inside = '' if self._is_file() else path.removeprefix(self._root).lstrip('/')
                if '..' in PurePosixPath(inside).parts:
                    raise BagError(f'{self.address} has a file {path!r}: expected no ..')
                target = folder / self.name / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                self.system.get_file(path, str(target))


def _open(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise MossError(f'{address} needs fsspec, which is not installed: pip install '
                        "'moss_perception[fleet]'") from error
    return fsspec.url_to_fs(address)


@contextmanager
def _refused(address: str) -> Iterator[None]:
    try:
        yield
    except MossError:
        raise
    except Exception as error:
        line = ' '.join(str(error).split()) or type(error).__name__
        raise BagError(f"{address} can't be read: {line}") from error


def _fetch(files: _Remote, entry: Path, cache: Cache) -> None:
    """Copy files, once there is room; the caller holds the lock of the entry."""
    if files.size > cache.size:
        raise BagError(f'{files.address} has {files.size} bytes: expected at most --cache-size, '
                       f'{cache.size}')
    partial = entry.with_name(f'{entry.name}.partial')
    while not _reserve(partial, files.size, cache):
        # The copies in use take the room; whoever uses one holds no other.
        time.sleep(_POLL_S)
    try:
        files.copy(partial)
        (partial / '.bytes').write_text(str(files.size))
        partial.rename(entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _reserve(partial: Path, size: int, cache: Cache) -> bool:
    """Make room for a copy and reserve it; false if those in use leave too little."""
    with (cache.folder / '.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(partial, ignore_errors=True)
        entries = sorted((x for x in cache.folder.iterdir() if x.is_dir()),
                         key=lambda x: x.stat().st_mtime)
        free = cache.size - sum(map(_bytes_of, entries))
        for entry in entries:
            if free >= size:
                break
            free += _evict(entry)
        if free < size:
            return False
        partial.mkdir()
        (partial / '.bytes').write_text(str(size))
        return True


def _evict(entry: Path) -> int:
    """Remove a copy that nobody uses, and return its bytes."""
    path = entry.with_name(f'{entry.name.removesuffix(".partial")}.lock')
    with path.open('w') as lock:
        if not _locked(lock):
            return 0
        size = _bytes_of(entry)
        shutil.rmtree(entry)
        return size


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _bytes_of(entry: Path) -> int:
    try:
        return int((entry / '.bytes').read_text())
    except (OSError, ValueError):
        return 0
