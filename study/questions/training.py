"""Train an answerer on questions about scenes, and ask it about others."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from moss_perception.core.errors import CheckpointError
from moss_perception.core.files import replaced
import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
import torch
from torch import Tensor
import torch.nn.functional as F

from study.questions.asking import Draw, Footage, Item
from study.questions.model import Answerer, TEXT_ONLY
from study.questions.wording import ANSWERS, KINDS, LONGEST, numbers_of, UNKNOWN
from study.video.fitting import Budget, fit
from study.video.models import initial_of

# Share of words that a training does not get to see, so that it knows what to do without.
_MISSED = 0.1
PHRASINGS = ('held_out', 'known')


def train(variant: str, scenes: Sequence[Footage], draw: Draw, size: int, seed: int,
          budget: Budget, initial: str, path: Path) -> Answerer:
    """
    Train an answerer and keep it, or take the one that is kept.

    :param scenes: that the items of ``draw`` are about.
    :param size: side of the images, pixels.
    :param initial: see :func:`study.video.models.initial_of`.
    :param path: where it is kept; beside it, the state of a training that is under way.
    :returns: in evaluation mode.
    :raises CheckpointError: if the kept one is damaged.
    """
    torch.manual_seed(seed)
    start = '' if variant == TEXT_ONLY else initial_of(initial, variant)
    model = Answerer(variant, start).to(budget.device)
    if path.exists():
        try:
            model.load_state_dict(load_file(path, device=budget.device))
        except (SafetensorError, OSError, RuntimeError) as error:
            raise CheckpointError(f'{path} is damaged: {error}; delete it to train '
                                  'anew') from error
        return model.eval()

    def loss_of(step: int) -> Tensor:
        rng = np.random.default_rng((seed, step))
        clips = [draw(rng) for _ in range(budget.batch)]
        words, labels, weights = asked_of(clips, draw, rng)
        images = _images([items[0] for items in clips], scenes, size if model.clip else 0, budget)
        logits = model(images, words.to(budget.device))
        losses = F.cross_entropy(logits.movedim(-1, 1), labels.to(budget.device),
                                 reduction='none')
        weights = weights.to(budget.device)
        return (losses * weights).sum() / weights.sum()

    fit(model, loss_of, budget, path.with_name(f'{path.stem}_state.safetensors'))
    with replaced(path) as partial:
        save_file({name: one.contiguous() for name, one in model.state_dict().items()}, partial)
    return model


def asked_of(clips: Sequence[Sequence[Item]], draw: Draw,
             rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """
    Put the questions about some clips into known phrasings.

    :param clips: the questions about each.
    :returns: words, int64 ``(B, Q, L)``, of which some are missed; labels, int64 ``(B, Q)``; and
        weights, float32 ``(B, Q)``, 0 where a clip has fewer questions than others.
    """
    most = max(map(len, clips))
    words = np.zeros((len(clips), most, LONGEST), np.int64)
    labels, weights = np.zeros((len(clips), most), np.int64), np.zeros((len(clips), most))
    for n, items in enumerate(clips):
        for k, item in enumerate(items):
            known = KINDS[item.kind].phrasings(False)
            words[n, k] = numbers_of(known[rng.integers(len(known))])
            labels[n, k], weights[n, k] = item.label, draw.weight(item)
    words[(rng.random(words.shape) < _MISSED) & (words > 0)] = UNKNOWN
    return torch.from_numpy(words), torch.from_numpy(labels), torch.from_numpy(weights).float()


@torch.inference_mode()
def ask(model: Answerer, items: Sequence[Item], footage: Sequence[Footage], size: int,
        budget: Budget) -> dict[str, list[int]]:
    """
    Ask each question in a held-out and in a known phrasing.

    :returns: by phrasing, a key of :data:`PHRASINGS`, the answers as indices of ``ANSWERS``.
    """
    words = torch.tensor([[numbers_of(text) for text in texts_of(n, item)]
                          for n, item in enumerate(items)])
    found: list[Tensor] = []
    for begin, end in pairwise([*range(0, len(items), budget.batch), len(items)]):
        images = _images(items[begin:end], footage, size if model.clip else 0, budget)
        found.append(model(images, words[begin:end].to(budget.device)).argmax(-1).cpu())
    answers = torch.cat(found)
    return {name: answers[:, n].tolist() for n, name in enumerate(PHRASINGS)}


def texts_of(number: int, item: Item) -> list[str]:
    """Return the phrasings in which a question of a test is asked, as :data:`PHRASINGS`."""
    kinds = [KINDS[item.kind].phrasings(name == 'held_out') for name in PHRASINGS]
    return [texts[np.random.default_rng(number).integers(len(texts))] for texts in kinds]


def _images(items: Sequence[Item], footage: Sequence[Footage], size: int,
            budget: Budget) -> Tensor:
    """Decode what is shown; nothing for size 0."""
    if not size:
        return torch.zeros(len(items), 0)
    shown = np.stack([item.images(footage, size) for item in items])
    return torch.from_numpy(np.ascontiguousarray(shown)).to(budget.device)


def most_frequent(item: Item) -> int:
    """Return the answer of who knows the kind of question alone; all are as frequent."""
    return ANSWERS.index(KINDS[item.kind].answers[0])
