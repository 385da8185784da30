"""The files of a recording, and what its ``metadata.yaml`` says of them."""

from contextlib import suppress
import functools
from pathlib import Path
import re
from typing import Any

from moss_perception.core.errors import BagError
from moss_perception.core.text import clean
import yaml

SUFFIXES = ('.mcap', '.db3')
NAME = 'metadata.yaml'
_COMPRESSED = '.zstd'
_MODES = ('', 'none', 'file', 'message')
# Bytes; each file and topic of a recording takes some hundreds.
_LARGEST = 1 << 22
_BRACKETS, _DEEPEST = re.compile(r'[\[\]{}]'), 100
_MOST = 2**63 - 1


class Metadata:
    """
    The contents of a ``metadata.yaml``; a value that is missing or senseless is unknown.

    :param folder: folder of the recording.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._values = _read(folder)

    @property
    def message_count(self) -> int | None:
        """Number of messages; ``None`` if unknown."""
        count = self._values.get('message_count')
        return count if type(count) is int and 0 <= count <= _MOST else None

    @property
    def topic_counts(self) -> dict[str, int]:
        """Number of messages by topic, for those topics for which it is known."""
        found: dict[str, int] = {}
        topics = self._values.get('topics_with_message_count')
        for topic in topics if isinstance(topics, list) else ():
            with suppress(KeyError, TypeError):
                name, count = topic['topic_metadata']['name'], topic['message_count']
                if isinstance(name, str) and type(count) is int and 0 < count <= _MOST:
                    found[name] = found.get(name, 0) + count
        return found

    @property
    def compression(self) -> str:
        """
        Return what is compressed by zstd: ``file``, ``message`` or nothing.

        :raises BagError: for another compression.
        """
        mode, form = (value if isinstance(value, str) else '' for value in map(
            self._values.get, ('compression_mode', 'compression_format')))
        mode = mode.lower()
        if mode not in _MODES or (mode not in ('', 'none') and form != 'zstd'):
            raise BagError(f'compression {clean(mode)!r} by {clean(form)!r}, expected files or '
                           'messages compressed by zstd')
        return '' if mode == 'none' else mode

    @property
    def custom_data(self) -> dict[str, str]:
        """The ``custom_data``; empty if there is none."""
        found = self._values.get('custom_data')
        # Texts only: references make other values grow when they are written out.
        return {x: y for x, y in found.items() if isinstance(x, str) and isinstance(y, str)
                } if isinstance(found, dict) else {}

    @property
    def files(self) -> list[Path]:
        """The listed files, or those in the folder if it lists none."""
        names = self._values.get('relative_file_paths')
        if isinstance(names, list):
            return [self.folder / Path(name).name for name in names if isinstance(name, str)]
        return _there(self.folder)

    @property
    def unlisted(self) -> list[Path]:
        """Files in the folder that the list leaves out, so that nobody reads them."""
        listed = {x.name.removesuffix(_COMPRESSED) for x in self.files}
        return [x for x in _there(self.folder) if x.name not in listed]

    def require(self) -> None:
        """
        Check that it can be read.

        :raises BagError: if not.
        """
        if not self._values:
            raise BagError(f'{NAME} has no rosbag2_bagfile_information')


def files_of(path: Path) -> list[Path]:
    """
    List the files of a recording.

    :param path: folder, or one of the files.
    :raises BagError: if it is not a recording.
    """
    if not path.exists():
        raise BagError(f'{path}: no such recording, expected a rosbag2 folder, .mcap or .db3 file')
    if path.is_file():
        if path.suffix == '.bag':
            raise BagError(f'{path}: a recording of ROS 1, expected ROS 2: convert it by '
                           f'rosbags-convert --src {path.name} --dst {path.stem}')
        if path.suffix not in SUFFIXES:
            raise BagError(f'{path}: no rosbag2, expected a folder, .mcap or .db3 file')
        return [path]
    if not path.is_dir():
        raise BagError(f'{path}: no rosbag2, expected a folder or a regular .mcap or .db3 file')
    if (path / NAME).exists():
        return _regular(Metadata(path).files)
    # A recorder that was killed leaves its file without metadata.
    files = _there(path)
    if len(files) == 1:
        return files
    if files:
        raise BagError(
            f'{path}: {len(files)} files but no {NAME}: expected it, try ros2 bag reindex')
    raise BagError(f'{path}: no rosbag2, expected {NAME} and .mcap or .db3 files in it')


def _regular(files: list[Path]) -> list[Path]:
    """Refuse pipes and devices, which may never end."""
    for file in filter(Path.exists, files):
        if not file.is_file():
            raise BagError(f'{file}: a pipe, a device or a folder, expected a regular file')
    return files


def custom_data(folder: Path) -> dict[str, str]:
    """Return the ``custom_data`` of ``metadata.yaml``; empty if there is none."""
    return Metadata(folder).custom_data


def _there(folder: Path) -> list[Path]:
    return sorted(x for x in folder.iterdir() if x.suffix in SUFFIXES and x.is_file())


def _read(folder: Path) -> dict[str, Any]:
    """Return the values of the file; empty if it can't be read."""
    path = folder / NAME
    try:
        # A pipe or a device may never end.
        if not path.is_file():
            return {}
        about = path.stat()
        return _parsed(path, about.st_size, about.st_mtime_ns)
    except OSError:
        return {}


@functools.lru_cache(maxsize=8)
def _parsed(path: Path, size: int, _: int) -> dict[str, Any]:
    try:
        text = path.read_text(encoding='utf-8') if size <= _LARGEST else ''
        if _depth(text) > _DEEPEST:
            return {}
        values = yaml.load(text, _Loader)
        return dict(values['rosbag2_bagfile_information'])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError,
            RecursionError, OverflowError, AttributeError):
        return {}


def _depth(text: str) -> int:
    """Return how deep lists and mappings in brackets nest; each level makes all others slower."""
    deepest = depth = 0
    for bracket in _BRACKETS.findall(text):
        depth = max(depth + (1 if bracket in '[{' else -1), 0)
        deepest = max(deepest, depth)
    return deepest


class _Loader(yaml.SafeLoader):
    """Without merge keys, which can grow without end and which no recorder writes."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if any(key.tag == 'tag:yaml.org,2002:merge' for key, _ in node.value):
            raise yaml.YAMLError('a merge key')
