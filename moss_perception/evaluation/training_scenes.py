"""Scenes that a checkpoint was trained on, which must not measure it."""

from collections.abc import Iterable, Sequence

from moss_perception.core.errors import ConfigError
from moss_perception.models.manifest import training_seeds


def seeds_in_words(seeds: Sequence[tuple[int, int]]) -> str:
    """Return the pairs of :func:`moss_perception.models.manifest.training_seeds` as words."""
    return ' and '.join(f'{first} to {last}' for first, last in seeds)


def refuse_training_scenes(seeds: Iterable[int | None], notes: dict) -> None:
    """
    Refuse scenes that a checkpoint was trained on, or may have been.

    A seed has the same object and kind of motion in every domain, so domains do not count.

    :param seeds: of the scenes; ``None`` for a recorded one.
    :param notes: of the checkpoint, see :func:`moss_perception.models.manifest.read_header`.
    :raises CheckpointError: if the notes do not name the training scenes.
    :raises ConfigError: if a scene is among them.
    """
    trained = training_seeds(notes)
    known = sorted(seed for seed in seeds if seed is not None
                   and any(first <= seed <= last for first, last in trained))
    if known:
        raise ConfigError(f'the checkpoint was trained on scenes {seeds_in_words(trained)}, and '
                          f'{len(known)} of these scenes are among them, such as {known[0]}: '
                          'expected scenes that it was not trained on')
