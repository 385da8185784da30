"""Checkpoints: safetensors with the configuration inside and a digest beside; never a pickle."""

import hashlib
import json
from pathlib import Path

from moss_perception.errors import CheckpointError, ConfigError
from moss_perception.grasp.config import GraspConfig
from moss_perception.grasp.network import GraspNetwork
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file

FORMAT = 'moss_perception.grasp/1'
MANIFEST = 'SHA256SUMS'


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


def verify(path: str | Path, sha256: str = '') -> str:
    """
    Check that a checkpoint is the file that is meant.

    :param path: the checkpoint file.
    :param sha256: its expected digest; empty to take it from SHA256SUMS beside the file.
    :returns: the file's digest.
    :raises CheckpointError: if the file is missing or differs, or no digest is known.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f'checkpoint {path} is not there: expected a .safetensors file')
    expected = sha256.lower() or read_manifest(path.parent).get(path.name, '')
    if not expected:
        raise CheckpointError(f'checkpoint {path} has no known sha256: expected one in the '
                              f'parameter model_sha256, or in {path.parent / MANIFEST}')
    try:
        found = file_sha256(path)
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} can't be read: {error.strerror}") from error
    if found != expected:
        raise CheckpointError(f'checkpoint {path} has sha256 {found}: expected {expected}')
    return found


def load_checkpoint(path: str | Path, sha256: str = '') -> GraspNetwork:
    """
    Load a grasp network.

    :param path: the checkpoint file.
    :param sha256: its expected digest; empty to take it from SHA256SUMS beside the file.
    :returns: the network in evaluation mode; its attribute ``sha256`` is the file's digest.
    :raises CheckpointError: if the file is missing, damaged, foreign, or another one.
    """
    path = Path(path).expanduser()
    digest = verify(path, sha256)
    try:
        with safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'checkpoint {path} is not a safetensors file: {error}') from error
    if metadata.get('format') != FORMAT:
        raise CheckpointError(f'checkpoint {path} has format {metadata.get("format")!r}: '
                              f'expected {FORMAT!r}')
    try:
        network = GraspNetwork(GraspConfig.from_dict(json.loads(metadata['config'])))
        network.load_state_dict(tensors)
    except (KeyError, ConfigError, TypeError, ValueError, RuntimeError) as error:
        reason = ' '.join(str(error).split())
        raise CheckpointError(f"checkpoint {path} doesn't fit its configuration: {reason}"
                              ) from error
    network.sha256 = digest
    return network.eval()


def read_notes(path: str | Path) -> dict:
    """
    Read what was noted when a checkpoint was written.

    :param path: a checkpoint file that :func:`load_checkpoint` takes.
    :returns: the notes; empty if there are none.
    """
    with safe_open(Path(path).expanduser(), framework='pt') as file:
        return json.loads((file.metadata() or {}).get('notes', '{}'))


def save_checkpoint(path: str | Path, network: GraspNetwork, notes: dict | None = None) -> str:
    """
    Write a network, and enter its digest into SHA256SUMS beside it.

    :param path: the file to write; replaced as a whole or not at all.
    :param network: its weights and configuration are kept.
    :param notes: anything JSON can hold, such as how it was trained.
    :returns: the file's SHA-256.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {'format': FORMAT, 'config': json.dumps(network.config.to_dict()),
                'notes': json.dumps(notes or {})}
    partial = path.with_name(path.name + '.partial')
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, partial, metadata)
    digest = file_sha256(partial)
    partial.chmod(0o644)
    partial.replace(path)
    digests = {**read_manifest(path.parent), path.name: digest}
    manifest = path.parent / MANIFEST
    partial = manifest.with_name(MANIFEST + '.partial')
    partial.write_text(''.join(f'{d}  {n}\n' for n, d in sorted(digests.items())))
    partial.replace(manifest)
    return digest
