"""Train a classifier of clips on some groups, and ask it about the others, on an equal budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
import logging

import numpy as np
import torch
import torch.nn.functional as F

from study.video.clips import Clip
from study.video.models import ClipClassifier
from study.video.tasks import Item, sample, Task

log = logging.getLogger('video')


@dataclass(frozen=True)
class Budget:
    """
    What every variant is given alike.

    :ivar clips: clips that a training sees.
    :ivar batch: clips a step.
    :ivar learning_rate: highest; it rises over the first tenth, and falls as a cosine.
    :ivar device: of torch.
    """

    clips: int = 6000
    batch: int = 8
    learning_rate: float = 0.003
    device: str = 'cpu'


def questions(task: Task, test: np.ndarray) -> tuple[list[Item], list[Item]]:
    """Share the items out: those of other clips for training, and those of the test clips."""
    asked = set(test.tolist())
    return ([item for item in task.items if item.clip not in asked],
            [item for item in task.items if item.clip in asked])


def train(variant: str, task: Task, clips: Sequence[Clip], items: Sequence[Item], seed: int,
          budget: Budget, initial: str = '') -> ClipClassifier:
    """
    Train a classifier.

    :param items: to train on.
    :returns: in evaluation mode.
    """
    torch.manual_seed(seed)
    model = ClipClassifier(variant, len(task.classes), initial).to(budget.device).train()
    steps = max(1, budget.clips // budget.batch)
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad],
                                  budget.learning_rate, weight_decay=0.01)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(
        (n + 1) / warm, 0.5 + 0.5 * np.cos(np.pi * max(0, n - warm) / max(1, steps - warm))))
    rng, order = np.random.default_rng(seed), np.zeros(0, int)
    for _ in range(steps):
        while len(order) < budget.batch:
            order = np.concatenate([order, rng.permutation(len(items))])
        chosen, order = [items[n] for n in order[:budget.batch]], order[budget.batch:]
        images = np.stack([sample(_frames(clips, item), item, rng) for item in chosen])
        labels = torch.tensor([item.label for item in chosen], device=budget.device)
        loss = F.cross_entropy(model(_tensor(images, budget)), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.inference_mode()
def ask(model: ClipClassifier, clips: Sequence[Clip], items: Sequence[Item],
        budget: Budget) -> list[int]:
    """Return the answers to questions, as indices of classes."""
    found: list[int] = []
    for begin, end in pairwise([*range(0, len(items), budget.batch), len(items)]):
        images = np.stack([sample(_frames(clips, item), item) for item in items[begin:end]])
        found += model(_tensor(images, budget)).argmax(1).tolist()
    return found


def _frames(clips: Sequence[Clip], item: Item) -> np.ndarray:
    frames = clips[item.clip].frames
    assert frames is not None  # clips are loaded before
    return frames


def _tensor(images: np.ndarray, budget: Budget) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).to(budget.device)


def most_frequent(task: Task, items: Sequence[Item]) -> int:
    """Return the answer of who never looks: the most frequent one in training."""
    return int(np.bincount([item.label for item in items], minlength=len(task.classes)).argmax())
