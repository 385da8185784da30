"""What a training reached on the samples that it held out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moss_perception.data.schema import Sample
from moss_perception.models.checkpoint import load_checkpoint, Network
from moss_perception.models.layers.reading import ensemble_probability
from moss_perception.models.manifest import read_header, training_seeds
from moss_perception.training.dataset import GraspClips
from moss_perception.training.trainer import predict
import numpy as np
from torch import Tensor

# More seeds in a row are not skipped: they lie between two sets.
_MOST_SKIPPED = 1000


@dataclass(frozen=True)
class Results:
    """
    The scores of held-out candidates that have a label, sample by sample.

    :ivar out: the checkpoint.
    :ivar digest: its SHA-256.
    :ivar notes: its notes.
    :ivar temperature: that was fitted to these candidates.
    :ivar threshold: of the scores, that was fitted to them too, see
        :func:`moss_perception.core.calibration.fit_threshold`.
    :ivar used: the samples that were trained on.
    :ivar held_out: the others, ``N`` of them.
    :ivar names: of the set of each, empty without sets.
    :ivar labels: bool, shape ``(L,)``.
    :ivar numbers: which sample each label is of, int, shape ``(L,)``.
    :ivar after: probabilities by the checkpoint, float64, shape ``(L,)``.
    :ivar before: by the checkpoint that the training began with; ``None`` if there is none, or it
        is not a network with the same layers.
    :ivar has_ood: whether the checkpoint has statistics of its training distribution.
    """

    out: Path
    digest: str
    notes: dict
    temperature: float
    threshold: float
    used: list[Sample]
    held_out: list[Sample]
    names: list[str]
    labels: np.ndarray
    numbers: np.ndarray
    after: np.ndarray
    before: np.ndarray | None
    has_ood: bool


def probabilities(logits: Tensor, temperature: float = 1.0) -> np.ndarray:
    """
    Turn logits, shape ``(L, M)``, into probabilities, float64, shape ``(L,)``.

    :param temperature: by which the logits are still to be divided. A network divides them by
        that of its configuration.
    """
    return ensemble_probability(logits.double() / temperature)[0].numpy()


def scores_of(network: Network, clips: GraspClips, batch: int = 8,
              device: str = 'cpu') -> np.ndarray:
    """
    Score the labelled grasps of some clips, as the engine of the network's checkpoint does.

    :returns: probabilities, float64, shape ``(L,)``.
    """
    return probabilities(predict(network, clips, batch, device)[0])


def label_numbers(samples: list[Sample]) -> np.ndarray:
    """Return the index of the sample of each label, in the order of the labels."""
    return np.repeat(np.arange(len(samples)), [int(x.labelled.sum()) for x in samples])


def count_seen(path: str, samples: list[Sample]) -> int:
    """Count the samples whose seeds a checkpoint says that it was trained on."""
    notes = read_header(path)[1]
    seeds = training_seeds(notes) if 'seeds' in notes else []
    return sum(any(first <= sample.seed <= last for first, last in seeds)
               for sample in samples if sample.seed is not None)


def score_before(path: str, clips: GraspClips, batch: int, device: str) -> np.ndarray:
    """
    Score held-out clips by another checkpoint whose network has the same layers.

    :param clips: whose decoded images it takes, too.
    :returns: probabilities, float64, shape ``(L,)``.
    """
    network: Network = load_checkpoint(path).to(device)
    other = GraspClips(clips.samples, network.config, clips.decoded)
    return scores_of(network, other, batch, device)


def ranges_of(samples: Sequence[Sample], names: Sequence[str] = ()) -> list[list[int]]:
    """
    Return the first and last seeds of sets of scenes; sets that touch or overlap are one range.

    Seeds that a set leaves out in between were skipped, unless very many follow one another.

    :param names: of the set of each sample; empty if all are of one.
    """
    sets: dict[tuple, list[int]] = {}
    for sample, name in zip(samples, names or [''] * len(samples), strict=True):
        if sample.seed is not None:
            # Folders of one name may hold different scenes.
            sets.setdefault((name, sample.cell, sample.domain, sample.split), []).append(
                sample.seed)
    parts = [part for seeds in sets.values() for part in _joined(
        ([seed, seed] for seed in sorted(seeds)), _MOST_SKIPPED)]
    return _joined(sorted(parts), 1)


def _joined(ranges: Iterable[list[int]], gap: int) -> list[list[int]]:
    """Join ranges, in the order of their first seeds, that are at most ``gap`` apart."""
    joined: list[list[int]] = []
    for first, last in ranges:
        if joined and first - joined[-1][1] <= gap:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return joined
