"""What a study was begun with, so that it is not continued with other data or sizes."""

from collections.abc import Iterable, Mapping
import hashlib
import json
from pathlib import Path
from typing import Any

from moss_perception.cli.common import read_text, write_text
from moss_perception.core.errors import ConfigError
from moss_perception.models.manifest import file_sha256

FILE = 'conditions.json'


def require_same(folder: Path, conditions: Mapping[str, Any]) -> None:
    """
    Refuse to continue a study whose data or sizes have changed.

    :param folder: of everything that the study makes; what it is begun with is kept there.
    :param conditions: by name, what all that is kept depends on.
    :raises ConfigError: naming the first condition that differs.
    """
    path, wanted = folder / FILE, json.loads(json.dumps(conditions))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(wanted, indent=1) + '\n')
        return
    known = json.loads(read_text(path))
    for name in [*wanted, *known]:
        if known.get(name) != wanted.get(name):
            raise ConfigError(f'{folder} was begun with {name} {known.get(name)}, and this '
                              f'command has {wanted.get(name)}: expected the same; choose another '
                              '--out')


def digest_of(parts: Iterable[bytes]) -> str:
    """Hash some bytes: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def folder_digest(folder: str | Path) -> str:
    """Hash what ``moss record`` says about a folder, and the names and sizes of its shards."""
    files = sorted(one for one in Path(folder).rglob('*') if one.is_file())
    return digest_of(one.read_bytes() if one.suffix == '.json'
                     else f'{one.name} {one.stat().st_size}'.encode() for one in files)


def file_digest(path: str | Path) -> str:
    """Hash a file: 16 hexadecimal digits; empty for no file."""
    return file_sha256(Path(path))[:16] if path else ''
