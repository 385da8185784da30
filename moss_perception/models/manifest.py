"""The digests and the header of a checkpoint's files; without torch."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
import hashlib
import json
from pathlib import Path

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.core.files import replaced
from moss_perception.models.base import model_type
from moss_perception.models.config import ModelConfig
from safetensors import safe_open, SafetensorError
from safetensors.numpy import save_file

FORMAT = 'moss_perception.grasp/3'
# All models had one configuration, whose field `temporal` told them apart.
_FORMAT_2 = 'moss_perception.grasp/2'
GRAPH_FORMAT = 'moss_perception.grasp_step/4'
MANIFEST = 'SHA256SUMS'
# Tensors of a checkpoint that are not weights: the statistics of its training distribution.
OOD_PREFIX = 'novelty.'
CHECKPOINT_LIMIT = 1 << 30
"""Bytes of a checkpoint; ours have some millions."""

# Bytes before the header of a safetensors file, which say how long it is.
_HEADER_AT = 8
# Header of a checkpoint with the digests of its graphs, as JSON by file name.
_GRAPHS = 'graphs'


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_manifest(folder: Path) -> dict[str, str]:
    """
    Read the digests of a folder's files.

    :param folder: holds ``SHA256SUMS``, as ``sha256sum`` writes it.
    :returns: digest by file name; empty if there is no manifest.
    :raises CheckpointError: if a line is not a digest and a name.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    digests = {}
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f'{path} is not a readable list of digests: {error}') from error
    for line in lines:
        digest, _, name = line.partition('  ')
        if len(digest) != 64 or not name:
            raise CheckpointError(f"{path}: expected '<sha256>  <name>', got {line!r}")
        digests[name] = digest
    return digests


def replace_files(finished: dict[Path, Path], gone: Iterable[Path] = ()) -> None:
    """
    Put finished files in the place of others, and their digests into SHA256SUMS.

    :param finished: where each file is to be, all in one folder, and the file that goes there.
    :param gone: files of that folder that are no longer wanted.
    :raises CheckpointError: if the manifest is damaged.
    """
    folder = next(iter(finished)).parent
    digests = read_manifest(folder)
    for path in gone:
        digests.pop(path.name, None)
        path.unlink(missing_ok=True)
    for path, file in finished.items():
        digests[path.name] = file_sha256(file)
        file.chmod(0o644)
        file.replace(path)
    with replaced(folder / MANIFEST) as partial:
        partial.write_text(''.join(f'{d}  {n}\n' for n, d in sorted(digests.items())))


def verify(path: str | Path, sha256: str = '') -> str:
    """
    Check that a checkpoint is the file that is meant.

    :param path: the checkpoint file.
    :param sha256: its expected digest; empty to take it from SHA256SUMS beside the file.
    :returns: the file's digest.
    :raises CheckpointError: if the file is missing or differs, or no digest is known.
    """
    path = _existing(path)
    expected = _expected(path, sha256)
    read_verified('checkpoint', path, expected, CHECKPOINT_LIMIT)
    return expected


@dataclass(frozen=True)
class Checkpoint:
    """
    The verified contents of a checkpoint, so that the file is not opened again.

    :ivar path: the file.
    :ivar sha256: its digest.
    :ivar data: its bytes.
    :ivar config: of its header.
    :ivar notes: of its header.
    :ivar graphs: digest by the name of the graph; ``None`` if the header has none.
    """

    path: Path
    sha256: str
    data: bytes = field(repr=False)
    config: ModelConfig
    notes: dict
    graphs: dict[str, str] | None


def read_checkpoint(path: str | Path, sha256: str = '') -> Checkpoint:
    """
    Read a checkpoint once, and check that it is the file that is meant.

    :param path: the checkpoint file.
    :param sha256: its expected digest; empty to take it from SHA256SUMS beside the file.
    :raises CheckpointError: if the file is missing, damaged, foreign or another one.
    """
    path = _existing(path)
    expected = _expected(path, sha256)
    data = read_verified('checkpoint', path, expected, CHECKPOINT_LIMIT)
    size = int.from_bytes(data[:_HEADER_AT], 'little')
    try:
        metadata = json.loads(data[_HEADER_AT:_HEADER_AT + size]).get('__metadata__', {})
        if not all(isinstance(x, str) for x in metadata.values()):
            raise ValueError('its header has values that are no texts')
    except (AttributeError, ValueError, RecursionError) as error:
        raise CheckpointError(f'checkpoint {path} is not a safetensors file: {error}') from error
    return Checkpoint(path, expected, data, *_config_and_notes(path, metadata),
                      _graph_digests(path, metadata))


def _expected(path: Path, sha256: str) -> str:
    expected = sha256.lower() or read_manifest(path.parent).get(path.name, '')
    if not expected:
        raise CheckpointError(f'checkpoint {path} has no known sha256: expected one in the '
                              f'parameter model_sha256, or in {path.parent / MANIFEST}')
    return expected


def _existing(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f'checkpoint {path} is not there: expected a .safetensors file')
    return path


@contextmanager
def opened(path: Path, framework: str) -> Iterator[safe_open]:
    """
    Open a checkpoint's file.

    :param framework: of the tensors, ``pt`` or ``np``.
    :raises CheckpointError: if it can't be read.
    """
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'checkpoint {path} is not a safetensors file: {error}') from error


def read_verified(kind: str, path: Path, sha256: str, most: int) -> bytes:
    """
    Read a file whole, and check that it is the one that is meant.

    :param kind: what it is, for the error.
    :param sha256: its expected digest.
    :param most: bytes that it may have.
    :raises CheckpointError: if it can't be read, is larger or differs.
    """
    try:
        # The size first, since Python makes room for as much as it is asked to read.
        if (size := path.stat().st_size) > most:
            raise CheckpointError(f'{kind} {path} has {size} bytes: expected at most {most}')
        with path.open('rb') as file:
            data = file.read(size)
    except OSError as error:
        raise CheckpointError(f"{kind} {path} can't be read: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise CheckpointError(f'{kind} {path} has sha256 {found}: expected {sha256}')
    return data


def read_header(path: str | Path) -> tuple[ModelConfig, dict]:
    """
    Read a checkpoint's configuration and notes, without its weights.

    :param path: the checkpoint file; what it holds is not verified.
    :returns: its configuration, and the notes of when it was written, empty if there are none.
    :raises CheckpointError: if it is missing, or not a checkpoint of a grasp predictor.
    """
    path = _existing(path)
    with opened(path, 'np') as file:
        metadata = file.metadata() or {}
    return _config_and_notes(path, metadata)


def _config_and_notes(path: Path, metadata: Mapping[str, str]) -> tuple[ModelConfig, dict]:
    if metadata.get('format') not in (FORMAT, _FORMAT_2):
        raise CheckpointError(f'checkpoint {path} has format {metadata.get("format")!r}: '
                              f'expected {FORMAT!r}')
    try:
        return config_from_header(metadata), json.loads(metadata.get('notes', '{}'))
    except (KeyError, ConfigError, TypeError, ValueError, RecursionError) as error:
        raise misfit(path, error) from error


def graph_digests(path: str | Path) -> dict[str, str] | None:
    """
    Read the digests of a checkpoint's graphs, which its own digest covers.

    :param path: the checkpoint file.
    :returns: digest by the name of the graph; ``None`` for a checkpoint from before they were
        stored.
    :raises CheckpointError: if they are damaged.
    """
    path = _existing(path)
    with opened(path, 'np') as file:
        metadata = file.metadata() or {}
    return _graph_digests(path, metadata)


def _graph_digests(path: Path, metadata: Mapping[str, str]) -> dict[str, str] | None:
    text = metadata.get(_GRAPHS)
    if text is None:
        return None
    try:
        digests = json.loads(text)
        if not all(isinstance(x, str) and len(x) == 64 for x in digests.values()):
            raise ValueError('a digest has not 64 digits')
    except (AttributeError, ValueError, RecursionError) as error:
        raise CheckpointError(f'checkpoint {path} has no valid digests of its graphs: '
                              f'{error}') from error
    return digests


def is_sealed(path: Path, graphs: Iterable[Path]) -> bool:
    """Tell whether a checkpoint has the digests of these graphs."""
    return graph_digests(path) == _digests(graphs)


def _digests(graphs: Iterable[Path]) -> dict[str, str]:
    return {graph_name(file): file_sha256(file) for file in graphs}


def seal(path: Path, graphs: Iterable[Path], target: Path) -> Path:
    """
    Copy a checkpoint, and store the digests of its graphs in the copy.

    :param path: the checkpoint file.
    :param graphs: files of its graphs.
    :param target: the copy.
    :returns: the copy.
    :raises CheckpointError: if the checkpoint can't be read.
    """
    with opened(path, 'np') as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    metadata[_GRAPHS] = json.dumps(_digests(graphs), sort_keys=True)
    save_file(tensors, target, metadata)
    return target


def graph_name(file: Path) -> str:
    """Return the name of a graph, by which its file is named."""
    return file.stem.rpartition('.')[2]


def config_from_header(metadata: Mapping[str, str]) -> ModelConfig:
    """
    Read the configuration from a header, whose format may be the one before.

    :param metadata: with ``config`` in JSON and, but in the former format, ``model``.
    :raises ConfigError: if its model is not registered, or a value is not allowed.
    """
    values = json.loads(metadata['config'])
    if 'model' in metadata:
        return model_type(metadata['model']).Config.from_dict(values)
    return model_type(f'{values.get("temporal", "moss")}_grasp').Config.from_grasp2(values)


def header(config: ModelConfig) -> dict[str, str]:
    """Return what :func:`config_from_header` reads."""
    return {'model': config.model, 'config': json.dumps(config.to_dict())}


def misfit(path: Path, error: Exception) -> CheckpointError:
    """Say in one line that a checkpoint contradicts itself."""
    reason = ' '.join(str(error).split())
    return CheckpointError(f"checkpoint {path} doesn't fit its configuration: {reason}")


def graph_path(path: str | Path, name: str) -> Path:
    """
    Name the file of a checkpoint's graph.

    :param path: the checkpoint file, ``<stem>.safetensors``.
    :param name: of the graph, without dots.
    :returns: ``<stem>.<name>.onnx`` beside it.
    """
    path = Path(path).expanduser()
    return path.with_name(f'{path.stem}.{name}.onnx')


def graphs_beside(path: Path) -> list[Path]:
    """List the files beside a checkpoint that are its graphs by their names."""
    names = path.parent.glob('*.onnx')
    return sorted(file for file in names if file == graph_path(path, file.stem.rpartition('.')[2]))


def training_seeds(notes: dict) -> list[tuple[int, int]]:
    """
    Return the first and last seeds of the sets of scenes that a checkpoint was trained on.

    :param notes: of :func:`read_header`.
    :returns: empty if it was trained on recordings only.
    :raises CheckpointError: if its notes do not name them.
    """
    if 'seeds' not in notes:
        raise CheckpointError('the checkpoint does not name its training scenes: '
                              "expected 'seeds' in its notes")
    seeds = notes['seeds']
    # Checkpoints of earlier versions name one pair.
    return [(first, last) for first, last in (
        [seeds] if seeds and not isinstance(seeds[0], list) else seeds)]
