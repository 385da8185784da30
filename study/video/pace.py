"""How long the commands on clips and on questions take, before anything is trained."""

from collections.abc import Mapping, Sequence
import logging

# Milliseconds to train on a clip of 16 frames, and to ask about one: on one core of 2.5 GHz.
_CLIP_MS = {
    'last_frame': (3, 1), 'pooling': (19, 5), 'pooling_fine': (27, 7), 'moss_1': (23, 7),
    'moss_12': (26, 8), 'moss_123': (29, 8), 'displacement_1': (43, 27),
    'displacement_12': (61, 39), 'displacement_123': (87, 55), 'both_12': (207, 71),
    'tsm': (19, 7), 'recurrent': (21, 7), 'flow': (44, 31)}
_ANOTHER_MS = (61, 39)
# What one GPU needs of that; it waits for the frames.
_CUDA = 0.1


def seconds(variant: str, trained: int, asked: int, device: str = 'cpu') -> float:
    """
    Estimate how long a variant takes.

    :param variant: name of a file of ``study/variants``.
    :param trained: clips that all of its trainings see.
    :param asked: clips that it is asked about.
    """
    train_ms, ask_ms = _CLIP_MS.get(variant, _ANOTHER_MS)
    return (train_ms * trained + ask_ms * asked) / 1e3 * (_CUDA if device != 'cpu' else 1)


def by_variant(variants: Sequence[str], trained: int, asked: int,
               device: str) -> dict[str, float]:
    """Estimate the time of each variant; see :func:`seconds`."""
    return {name: seconds(name, trained, asked, device) for name in variants}


def tell(log: logging.Logger, parts: Mapping[str, float], device: str) -> None:
    """
    Log how long a command takes.

    :param parts: seconds by name of what takes them.
    """
    words = ', '.join(f'{name} {took / 60:.0f}' for name, took in parts.items())
    log.info('about %.1f h on %s if nothing is done yet; minutes: %s',
             sum(parts.values()) / 3600, 'one core' if device == 'cpu' else device, words)
