"""Train a classifier of clips on some groups, and ask it about the others."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from moss_perception.core.errors import ConfigError
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

from study.video.clips import Clip
from study.video.fitting import batches, Budget, fit
from study.video.models import ClipClassifier, initial_of
from study.video.tasks import Item, sample, Task


def questions(task: Task, test: np.ndarray) -> tuple[list[Item], list[Item]]:
    """
    Share the items out: those of other clips for training, and those of the test clips.

    :raises ConfigError: if there are none for training.
    """
    asked = set(test.tolist())
    known = [item for item in task.items if item.clip not in asked]
    if not known:
        raise ConfigError(f'one fold has all clips that are long enough for the task {task.name}: '
                          'expected fewer --folds, or longer clips')
    return known, [item for item in task.items if item.clip in asked]


def train(variant: str, task: Task, clips: Sequence[Clip], items: Sequence[Item], seed: int,
          budget: Budget, initial: str = '', state: Path | None = None) -> ClipClassifier:
    """
    Train a classifier.

    :param items: to train on.
    :param initial: see :func:`study.video.models.initial_of`.
    :param state: see :func:`study.video.fitting.fit`.
    :returns: in evaluation mode.
    """
    torch.manual_seed(seed)
    model = ClipClassifier(variant, len(task.classes), initial_of(initial, variant)).to(
        budget.device)
    drawn = batches(len(items), budget.batch, seed)

    def loss_of(step: int) -> Tensor:
        rng = np.random.default_rng((seed, 1, step))
        chosen = [items[n] for n in drawn(step)]
        images = images_of(clips, chosen, rng)
        labels = torch.tensor([item.label for item in chosen], device=budget.device)
        return F.cross_entropy(model(images.to(budget.device)), labels)

    fit(model, loss_of, budget, state)
    return model


@torch.inference_mode()
def ask(model: ClipClassifier, clips: Sequence[Clip], items: Sequence[Item],
        budget: Budget) -> list[int]:
    """Return the answers to questions, as indices of classes."""
    found: list[int] = []
    for begin, end in pairwise([*range(0, len(items), budget.batch), len(items)]):
        images = images_of(clips, items[begin:end])
        found += model(images.to(budget.device)).argmax(1).tolist()
    return found


def images_of(clips: Sequence[Clip], items: Sequence[Item],
              rng: np.random.Generator | None = None) -> Tensor:
    """
    Return the frames of some questions.

    :param rng: see :func:`study.video.tasks.sample`.
    :returns: uint8, RGB, shape ``(B, T, S, S, 3)``.
    """
    frames = []
    for item in items:
        whole = clips[item.clip].frames
        assert whole is not None  # clips are loaded before
        frames.append(sample(whole, item, rng))
    return torch.from_numpy(np.stack(frames))


def most_frequent(task: Task, items: Sequence[Item]) -> int:
    """Return the answer of who never looks: the most frequent one in training."""
    return int(np.bincount([item.label for item in items], minlength=len(task.classes)).argmax())
