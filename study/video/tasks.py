"""Tasks on clips: the arrow of time, the speed of playback, the order of parts, and the verb."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from moss_perception.core.errors import ConfigError
import numpy as np

from study.video.clips import Clip

# Frames of a clip that a network sees.
LENGTH = 16
SPEEDS = (1, 2, 4)
# Samples a second of the arrow of time and of the order of parts, and of speed at 1x.
_ARROW_HZ, _SPEED_HZ = 10.0, 30.0
# A clip is cut into so many parts of equal length, whose order is told.
PARTS = 4
LEFT_OUT = 'Other'


@dataclass(frozen=True)
class Item:
    """
    One question: which frames of a clip, and the answer.

    :ivar clip: index of the clip.
    :ivar label: index in the task's :attr:`Task.classes`.
    :ivar step: frames from one sample to the next; negative backwards, 0 for all of the clip.
    :ivar parts: the order in which a test shows the parts of what is sampled; a training draws
        another one each time. Empty as they come.
    """

    clip: int
    label: int
    step: int
    parts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Task:
    """
    A classification of clips.

    :ivar classes: names of the answers.
    :ivar items: of all clips that it applies to.
    """

    name: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]


def arrow(clips: Sequence[Clip]) -> Task:
    """Tell whether a clip is played forwards; each clip in both directions."""
    return Task('arrow', ('forwards', 'backwards'), tuple(
        Item(n, label, sign * step_of(clip.rate_hz, _ARROW_HZ)) for n, clip in enumerate(clips)
        for label, sign in enumerate((1, -1))))


def speed(clips: Sequence[Clip]) -> Task:
    """Tell how fast a clip is played, from as many frames; each clip at all speeds."""
    return Task('speed', tuple(f'{factor}x' for factor in SPEEDS), tuple(
        Item(n, label, factor * step_of(clip.rate_hz, _SPEED_HZ)) for n, clip in enumerate(clips)
        for label, factor in enumerate(SPEEDS)))


def order(clips: Sequence[Clip]) -> Task:
    """Tell whether the parts of a clip are in their order; each clip as it is and shuffled."""
    return Task('order', ('in order', 'shuffled'), tuple(
        Item(n, label, step_of(clip.rate_hz, _ARROW_HZ), parts) for n, clip in enumerate(clips)
        for label, parts in enumerate(((), _shuffled(np.random.default_rng(n))))))


def _shuffled(rng: np.random.Generator) -> tuple[int, ...]:
    """Draw another order than the true one."""
    while True:
        drawn = tuple(rng.permutation(PARTS).tolist())
        if drawn != tuple(range(PARTS)):
            return drawn


def verb(clips: Sequence[Clip]) -> Task:
    """
    Tell what is done, from samples of the whole clip.

    :raises ConfigError: if the clips do not name two verbs or more.
    """
    names = tuple(sorted({clip.verb for clip in clips} - {'', LEFT_OUT}))
    if len(names) < 2:
        raise ConfigError(f'the task verb needs a column verb with two verbs or more: the clips '
                          f'have {list(names)}; or leave it out with --tasks')
    return Task('verb', names, tuple(
        Item(n, names.index(clip.verb), 0) for n, clip in enumerate(clips) if clip.verb in names))


TASKS = {'arrow': arrow, 'speed': speed, 'order': order, 'verb': verb}
# These need nothing but the clips.
FREE = ('arrow', 'speed', 'order')
# What variants are compared on. The order of parts is there for the pretraining.
CLAIMED = ('arrow', 'speed', 'verb')


def step_of(rate_hz: float, wanted_hz: float) -> int:
    """
    Return frames from one sample to the next.

    :param rate_hz: of the clip.
    :param wanted_hz: samples a second; a slower clip gives all of its frames.
    """
    return max(1, round(rate_hz / wanted_hz))


def frames_needed(task: str, rate_hz: float = 30.0) -> int:
    """
    Return how many frames a clip needs for a task.

    :param rate_hz: of the clip.
    """
    arrow_step = step_of(rate_hz, _ARROW_HZ)
    longest = {'arrow': arrow_step, 'speed': SPEEDS[-1] * step_of(rate_hz, _SPEED_HZ),
               'order': arrow_step, 'verb': 1}
    return (LENGTH - 1) * longest[task] + 1


def questions_a_clip(task: str) -> int:
    """Return how many questions a task asks about each clip."""
    return {'arrow': 2, 'speed': len(SPEEDS), 'order': 2, 'verb': 1}[task]


def asked(name: str, clips: Sequence[Clip]) -> Task:
    """
    Make a task of the clips that are long enough for it.

    :param name: a key of :data:`TASKS`.
    :param clips: with their frames.
    :raises ConfigError: as the task does, or if no clip is long enough.
    """
    task = TASKS[name](clips)
    items = tuple(item for item in task.items if long_enough(clips[item.clip], name))
    if not items:
        longest = max(clips, key=length_of)
        raise ConfigError(f'the task {name} needs clips of '
                          f'{frames_needed(name, longest.rate_hz)} frames or more: the longest '
                          f'has {length_of(longest)}; or leave it out with --tasks')
    return replace(task, items=items)


def long_enough(clip: Clip, task: str) -> bool:
    """Tell whether a clip is long enough for a task."""
    return length_of(clip) >= frames_needed(task, clip.rate_hz)


def length_of(clip: Clip) -> int:
    """Return the number of frames of a clip."""
    assert clip.frames is not None  # clips are loaded before
    return len(clip.frames)


def sample(frames: np.ndarray, item: Item, rng: np.random.Generator | None = None) -> np.ndarray:
    """
    Take the frames of a question.

    :param frames: of its clip, shape ``(T, S, S, 3)``.
    :param rng: draws where it begins, the order of shuffled parts, and whether it is mirrored;
        ``None`` for the middle, and the item's own order.
    :returns: shape ``(LENGTH, S, S, 3)``.
    """
    count = len(frames)
    if not item.step:
        edges = np.linspace(0, count, LENGTH + 1)
        share = rng.random(LENGTH) if rng else np.full(LENGTH, 0.5)
        places = (edges[:-1] + share * np.diff(edges)).astype(int).clip(0, count - 1)
    else:
        span = (LENGTH - 1) * abs(item.step)
        begin = int(rng.integers(count - span)) if rng else (count - 1 - span) // 2
        places = begin + np.arange(0, span + 1, abs(item.step))
        places = places[::-1] if item.step < 0 else places
    if item.parts:
        parts = item.parts if rng is None else _shuffled(rng)
        places = np.concatenate([np.split(places, PARTS)[n] for n in parts])
    found = np.asarray(frames[places])
    return found[:, :, ::-1] if rng is not None and rng.random() < 0.5 else found


def folds_of(clips: Sequence[Clip], count: int, seed: int = 0) -> list[np.ndarray]:
    """
    Share the groups out, so that no group is in training and test at once.

    The largest groups come first, each into the fold with fewest clips.

    :returns: for each fold the indices of its test clips.
    :raises ConfigError: if there are fewer groups than folds.
    """
    groups = np.array([clip.group for clip in clips])
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < count or count < 2:
        raise ConfigError(f'--folds {count} is not allowed with {len(names)} groups: expected 2 '
                          f'to {len(names)}')
    rng = np.random.default_rng(seed)
    order = np.lexsort([rng.random(len(names)), -sizes])
    shares: list[list[str]] = [[] for _ in range(count)]
    totals = np.zeros(count)
    for index in order:
        least = int(totals.argmin())
        shares[least].append(str(names[index]))
        totals[least] += sizes[index]
    return [np.flatnonzero(np.isin(groups, share)) for share in shares]
