"""What a training reached on the samples that it held out."""

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


def probabilities(logits: Tensor, temperature: float) -> np.ndarray:
    """Turn logits, shape ``(L, M)``, into probabilities, float64, shape ``(L,)``."""
    return ensemble_probability(logits.double() / temperature)[0].numpy()


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
    return probabilities(predict(network, other, batch, device)[0], network.config.temperature)


def ranges_of(seeds: list[int], gap: int = 1000) -> list[list[int]]:
    """Return the first and last seed of each set: those of two sets are far apart."""
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and seed - ranges[-1][1] <= gap:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ranges
