"""Start a network from another checkpoint, and write a checkpoint derived from another."""

from collections.abc import Iterator
from contextlib import contextmanager
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.core.resources import model_path
from moss_perception.models.checkpoint import load_checkpoint, Network, save_checkpoint
from moss_perception.models.config import ModelConfig
from moss_perception.models.export import export_graphs
from moss_perception.models.manifest import file_sha256, graphs_beside, replace_files
from moss_perception.runtime.ood import TrainingDistribution
from moss_perception.training.settings import MEASURED
from torch import Tensor

_LOG = logging.getLogger('train')
# All variants share these: all layers but the temporal ones.
_SHARED = ('backbone.', 'lateral.', 'smooth.', 'head.')
# Of these, only networks with time inputs have it.
_WITH_TIME = 'head.travel.'


def same_layers(config: ModelConfig, other: ModelConfig) -> bool:
    """
    Tell whether all weights of a network mean the same in another.

    They do if the model and its configuration are the same. What training samples set may differ,
    and so may the gripper's width, in units of which a network sees grasps.
    """
    free = MEASURED | {'gripper_half_width_m'}
    mine, theirs = ({name: value for name, value in one.to_dict().items() if name not in free}
                    for one in (config, other))
    return config.model == other.model and mine == theirs


def start_from(network: Network, path: Path | str) -> str:
    """
    Copy the weights of a checkpoint into a network.

    All of them if the layers are the same, see :func:`same_layers`; else those of the backbone
    and the head.

    :param network: changed in place; if layers differ, its temporal layers stay as they are. So
        does what the head of a network with time inputs has more than that of one without.
    :param path: a checkpoint of any variant with the same backbone and head.
    :returns: the checkpoint's sha256.
    :raises CheckpointError: if it can't be loaded, or a layer differs.
    """
    other = load_checkpoint(path)
    if same_layers(network.config, other.config):
        network.load_state_dict(other.state_dict())
        _LOG.info('all weights are taken from %s', path)
        return other.sha256
    given, own = ({name: values for name, values in one.state_dict().items()
                   if name.startswith(_SHARED)} for one in (other, network))
    if network.config.time_inputs and not other.config.time_inputs:
        new = {name: values for name, values in own.items() if name.startswith(_WITH_TIME)}
        given = new | {name: _widened(values, own.get(name)) for name, values in given.items()}
    differing = sorted(name for name in own.keys() | given.keys()
                       if name not in own or name not in given
                       or own[name].shape != given[name].shape)
    if differing:
        raise CheckpointError(f'{path} has another {differing[0].partition(".")[0]}: expected '
                              f'{differing[0]} of the same shape in both')
    network.load_state_dict(given, strict=False)
    _LOG.info('backbone and head are taken from %s, whose other layers differ; these begin anew',
              path)
    return other.sha256


def _widened(given: Tensor, own: Tensor | None) -> Tensor:
    """Put values, if they fit, where a larger tensor begins; return what came of it."""
    if own is None or own.dim() != given.dim() or any(
            a < b for a, b in zip(own.shape, given.shape, strict=True)):
        return given
    made = own.clone()
    made[tuple(slice(n) for n in given.shape)] = given
    return made


def refuse_existing(out: Path) -> None:
    """
    Refuse a file name if the checkpoint or one of its graphs exists.

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
    Refuse to write a file or folder into the folder of the shipped models.

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
    Write a checkpoint and its graphs, all or none, and their digests into SHA256SUMS.

    :param out: the file to write, ``<name>.safetensors``.
    :param network: on the CPU.
    :param notes: the checkpoint's notes.
    :param distribution: the training distribution, if it is known.
    :param graphs: whether to export it for ONNX Runtime.
    :returns: the checkpoint's SHA-256.
    :raises CheckpointError: if it can't be written, or a graph differs from torch.
    :raises ConfigError: if the packages that export are missing.
    """
    with written_whole(out) as made:
        if distribution is not None:
            distribution.check(network.config.appearance_values)
        digest = save_checkpoint(made, network, notes, distribution and distribution.tensors())
        if graphs:
            export_graphs(made, digest)
            digest = file_sha256(made)
    return digest


@contextmanager
def written_whole(out: Path) -> Iterator[Path]:
    """
    Write a checkpoint and what belongs to it, all or none, and the digests into SHA256SUMS.

    Yields a path of the same name in a temporary folder. The checkpoint there, its graphs and its
    model card take their places beside ``out`` at the end, and nothing does after an error.

    :param out: the file to write, ``<name>.safetensors``.
    :raises CheckpointError: if it can't be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # On the same file system, so that finished files only have to be renamed.
        with TemporaryDirectory(prefix='.new_', dir=out.parent) as folder:
            made = Path(folder) / out.name
            yield made
            targets = {out.with_name(file.name): file
                       for file in (made, *graphs_beside(made))}
            # No manifest has the digest of a card.
            for card in Path(folder).glob('*.md'):
                card.replace(out.with_name(card.name))
            # Graphs of the checkpoint that was there before would be no one's.
            replace_files(targets, set(graphs_beside(out)) - set(targets))
    except OSError as error:
        raise CheckpointError(f"{out} can't be written: {error.strerror or error}") from error
