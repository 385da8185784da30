"""A variant of the study that answers questions in words about a clip."""

from pathlib import Path

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from study.questions.wording import ANSWERS, UNKNOWN, VOCABULARY
from study.video.models import ClipReader, INITIAL, summary

TEXT_ONLY = 'text_only'
"""Sees the question and nothing of the clip."""
_EMBEDDED, _TEXT, _JOINT = 32, 64, 96


class TextEncoder(nn.Module):
    """Reads a question: an embedding of each word, and a GRU."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(UNKNOWN + 1 + len(VOCABULARY), _EMBEDDED, padding_idx=0)
        self.over_words = nn.GRU(_EMBEDDED, _TEXT, batch_first=True)

    def forward(self, words: Tensor) -> Tensor:
        """
        Encode questions.

        :param words: numbers of words, 0 after the last, int64, shape ``(N, L)``.
        :returns: shape ``(N, C)``.
        """
        states, _ = self.over_words(self.embedding(words))
        last = (words != 0).sum(1).clamp(min=1) - 1
        return states[torch.arange(len(words), device=words.device), last]


class Answerer(nn.Module):
    """
    Answers questions about clips.

    The question says where in the context to look, and which features of the clip count: those at
    that place, and the summary that a classifier of clips has.

    :param variant: see :class:`study.video.models.ClipReader`, or :data:`TEXT_ONLY`.
    :param initial: see :class:`study.video.models.ClipReader`; nothing for :data:`TEXT_ONLY`.
    """

    def __init__(self, variant: str, initial: str | Path = INITIAL):
        super().__init__()
        self.text = TextEncoder()
        self.joint = nn.Linear(_TEXT, _JOINT)
        self.answer = nn.Linear(_JOINT, len(ANSWERS))
        # Last, so that the layers of text begin with equal weights in all variants.
        self.clip = None if variant == TEXT_ONLY else ClipReader(variant, initial)
        if self.clip is not None:
            fine, context = self.clip.channels
            # What the maps say differs little from clip to clip.
            self.normal = nn.BatchNorm1d(2 * context + fine)
            self.normal_places = nn.BatchNorm2d(context)
            self.where = nn.Linear(_TEXT, context)
            self.seen = nn.Linear(3 * context + fine, _JOINT)

    def forward(self, images: Tensor, words: Tensor) -> Tensor:
        """
        Answer several questions about each clip.

        :param images: uint8, RGB, shape ``(B, T, S, S, 3)``.
        :param words: int64, shape ``(B, Q, L)``, see :class:`TextEncoder`.
        :returns: logits of :data:`study.questions.wording.ANSWERS`, shape ``(B, Q, A)``.
        """
        text = self.text(words.flatten(0, 1)).unflatten(0, words.shape[:2])
        asked = self.joint(text)
        if self.clip is None:
            return self.answer(F.relu(asked))
        fine, context = self.clip.maps(images)
        positions = self.normal_places(context).flatten(2)
        weights = (self.where(text) @ positions / positions.shape[1] ** 0.5).softmax(-1)
        found = weights @ positions.transpose(1, 2)
        whole = self.normal(summary(fine, context))[:, None].expand(-1, words.shape[1], -1)
        seen = F.relu(self.seen(torch.cat([found, whole], -1)))
        return self.answer(seen * (1 + asked))
