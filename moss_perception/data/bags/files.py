"""The files of a rosbag2 and its metadata."""

from pathlib import Path

from moss_perception.core.errors import BagError
import yaml

SUFFIXES = ('.mcap', '.db3')


def storage_of(path: Path) -> Path:
    """
    Return the path to open: the folder, or a file if there is no metadata.

    :raises BagError: if it is not a recording.
    """
    if not path.exists():
        raise BagError(f'{path}: no such recording, expected a rosbag2 folder, .mcap or .db3 file')
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise BagError(f'{path}: no rosbag2, expected a folder, .mcap or .db3 file')
        return path
    if (path / 'metadata.yaml').exists():
        return path
    # A recorder that was killed leaves its file without metadata.
    files = sorted(x for x in path.iterdir() if x.suffix in SUFFIXES)
    if len(files) == 1:
        return files[0]
    if files:
        raise BagError(
            f'{path}: {len(files)} files but no metadata.yaml: expected it, try ros2 bag reindex')
    raise BagError(f'{path}: no rosbag2, expected metadata.yaml and .mcap or .db3 files in it')


def told_count(folder: Path) -> int | None:
    """Return the number of messages according to ``metadata.yaml``; ``None`` if unknown."""
    try:
        values = yaml.safe_load((folder / 'metadata.yaml').read_text())
        return int(values['rosbag2_bagfile_information']['message_count'])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return None


def told_files(folder: Path) -> list[Path]:
    """Return a recording's files, as listed in ``metadata.yaml`` or else as found."""
    try:
        values = yaml.safe_load((folder / 'metadata.yaml').read_text())
        names = values['rosbag2_bagfile_information']['relative_file_paths']
        return [folder / Path(name).name for name in names]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return sorted(x for x in folder.iterdir() if x.suffix in SUFFIXES)


def custom_data(folder: Path) -> dict[str, str]:
    """Return the ``custom_data`` of ``metadata.yaml``; empty if there is none."""
    try:
        values = yaml.safe_load((folder / 'metadata.yaml').read_text())
        found = values['rosbag2_bagfile_information'].get('custom_data') or {}
        return {str(name): str(text) for name, text in found.items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return {}
