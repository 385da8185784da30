"""New checkpoints made from others: with their graphs, whole or not at all."""

from pathlib import Path
from tempfile import TemporaryDirectory

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.core.resources import model_path
from moss_perception.models.checkpoint import Network, save_checkpoint
from moss_perception.models.export import export_graphs
from moss_perception.models.manifest import graphs_beside, replace_files
from moss_perception.runtime.ood import TrainingDistribution


def refuse_existing(out: Path) -> None:
    """
    Refuse a name under which a checkpoint or one of its graphs lies already.

    :raises CheckpointError: naming the file.
    """
    if out.suffix != '.safetensors':
        raise CheckpointError(f'{out} is no name for a checkpoint: expected <name>.safetensors')
    for path in (out, *graphs_beside(out)):
        if path.exists():
            raise CheckpointError(f'{path} is there already, and is never overwritten: expected '
                                  'another name')


def refuse_shipped(path: Path) -> None:
    """
    Refuse to write into the folder of the models that come with the package.

    :param path: of a file or folder to write.
    :raises ConfigError: naming it.
    """
    shipped = {model_path().parent.resolve(), model_path().resolve().parent}
    found = path.expanduser().resolve()
    if shipped & {found, *found.parents}:
        raise ConfigError(f'{path} lies in {model_path().parent}, whose files come with the '
                          'package and are never replaced: expected another folder')


def write_derived(out: Path, network: Network, notes: dict,
                  distribution: TrainingDistribution | None, graphs: bool = True) -> str:
    """
    Write a checkpoint and its graphs beside others, and enter their digests into SHA256SUMS.

    :param out: the file to write, ``<name>.safetensors``.
    :param network: on the CPU.
    :param notes: of the checkpoint.
    :param distribution: of its training, if it is known.
    :param graphs: whether to export it for ONNX Runtime.
    :returns: the checkpoint's SHA-256.
    :raises CheckpointError: if it can't be written, or a graph differs from torch.
    :raises ConfigError: if the packages that export are missing.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that finished files only have to be renamed.
        with TemporaryDirectory(prefix='.new_', dir=out.parent) as folder:
            made = Path(folder) / out.name
            if distribution is not None:
                distribution.check(network.config.context_channels)
            digest = save_checkpoint(made, network, notes, distribution and distribution.tensors())
            if graphs:
                export_graphs(made, digest)
            replace_files({out.with_name(file.name): file
                           for file in (made, *graphs_beside(made))})
    except OSError as error:
        raise CheckpointError(f"{out} can't be written: {error.strerror or error}") from error
    return digest
