"""Questions about scenes, whose answers follow from the truth, as often one as the other."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from study.questions.scenes import BEFORE, Filmed
from study.questions.wording import ANSWERS, COUNTS, KINDS, YES_NO
from study.video.tasks import LENGTH

# Speeds, m/s: below the first it stands, above the second it moves.
_STANDS, _MOVES = 0.005, 0.02
# Changes of speed in half a second, m/s: less than the first is none, more than the second one.
_STEADY, _CHANGED, _CHANGE_STEPS = 0.005, 0.02, 5
# At the end of which they still go on.
_LAST_STEPS = 2
# Differences of two speeds, m/s, above which one is faster.
_FASTER = 0.03
# Clips that end so many images before the decision, at most.
_EARLIER = BEFORE - LENGTH
# Parts of the image's width, in each of which an object moves to either side as often.
_PARTS = 6
# Images since the decision, when the gripper is under way.
_UNDER_WAY = 6
_DOUBLE = 2
# Draws that tell how often each answer comes.
_WEIGHED = 5000


class Footage(Protocol):
    """Something that was filmed."""

    @property
    def group(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...

    def frames(self, places: Sequence[int], size: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Item:
    """
    A question about a clip.

    :ivar kind: a key of :data:`study.questions.wording.KINDS`.
    :ivar answer: the true one.
    :ivar parts: what is shown: indices of footage, and of its images, one part after the other.
    :ivar mirrored: whether left and right are exchanged, of the images and of the answer.
    :ivar where: part of the image's width in which the object ends, from the left; ``None`` for a
        kind whose answer that does not tell.
    """

    kind: str
    answer: str
    parts: tuple[tuple[int, tuple[int, ...]], ...]
    mirrored: bool = False
    where: int | None = None

    def mirror(self) -> 'Item':
        """Exchange left and right."""
        other = {'left': 'right', 'right': 'left'}
        return replace(self, answer=other.get(self.answer, self.answer),
                       mirrored=not self.mirrored,
                       where=None if self.where is None else _PARTS - 1 - self.where)

    def images(self, footage: Sequence[Footage], size: int) -> np.ndarray:
        """Return what is shown: uint8, RGB, shape ``(LENGTH, S, S, 3)``."""
        shown = np.concatenate([footage[n].frames(places, size) for n, places in self.parts])
        return shown[:, :, ::-1] if self.mirrored else shown

    @property
    def label(self) -> int:
        """The answer's index in :data:`study.questions.wording.ANSWERS`."""
        return ANSWERS.index(self.answer)


def items_of(scenes: Sequence[Filmed]) -> list[Item]:
    """Ask everything that has a clear answer, in the order of the scenes."""
    found: list[Item] = []
    for n, scene in enumerate(scenes):
        visible = scene.visible
        across = np.where(visible, scene.places[:, 0], 0.0)
        parts = np.minimum((across + 1) / 2 * _PARTS, _PARTS - 1).astype(int)
        for begin in range(_EARLIER + 1):
            forwards = tuple(range(begin, begin + LENGTH))
            # What is not in the image cannot be answered, and its absence would tell.
            if not visible[begin:begin + LENGTH].all():
                continue
            seen = scene.velocity[begin:begin + LENGTH]
            # Played backwards, all velocities are the other way round.
            for places, played in ((forwards, seen), (forwards[::-1], -seen[::-1])):
                found += [Item(kind, answer, ((n, places),), where=(
                    int(parts[places[-1]]) if kind == 'direction' else None))
                    for kind, answer in answers_about(played)]
        found += _about_the_grasp(n, scene)
    return found + list(_about_two(scenes))


def answers_about(velocity: np.ndarray) -> Iterator[tuple[str, str]]:
    """
    Yield kinds of questions and true answers, leaving out what is neither one nor the other.

    :param velocity: of the object in the images of a clip, in the order in which they are shown,
        m/s to the right.
    """
    now, speeds = velocity[-1], np.abs(velocity)
    if speeds[-1] > _MOVES:
        yield 'moves', 'yes'
        yield 'direction', 'right' if now > 0 else 'left'
    elif speeds[-1] < _STANDS:
        yield 'moves', 'no'
    if not np.isfinite(velocity).all():
        return
    lately = speeds[-1 - _CHANGE_STEPS:]
    for kind, sign in (('speeds_up', 1), ('slows_down', -1)):
        # What speeds up and slows down again, or did so before, is asked neither.
        if (sign * (lately[-1] - lately[0]) > _CHANGED and rise_of(-sign * lately) < _STEADY
                and sign * (lately[-1] - lately[-1 - _LAST_STEPS]) >= _STEADY):
            yield kind, 'yes'
        elif rise_of(sign * speeds) < _STEADY:
            yield kind, 'no'
    yield 'turns', COUNTS[0 if (turns := turns_of(velocity)) == 0 else 1 if turns < 3 else 2]
    stops = stops_of(velocity)
    if not turns and stops < 3:
        yield 'stops', COUNTS[min(stops, 1)]


def rise_of(values: np.ndarray) -> float:
    """Return by how much some values rise at most, from any of them to a later one."""
    return float((values - np.minimum.accumulate(values)).max())


def turns_of(velocity: np.ndarray) -> int:
    """Count how often an object turns round."""
    signs = np.sign(velocity[np.abs(velocity) > _STANDS])
    return int((np.diff(signs) != 0).sum())


def stops_of(velocity: np.ndarray) -> int:
    """Count how often an object comes to rest after it moved."""
    count, moving = 0, False
    for speed in np.abs(velocity):
        if speed > _MOVES:
            moving = True
        elif speed < _STANDS and moving:
            count, moving = count + 1, False
    return count


def _about_the_grasp(n: int, scene: Filmed) -> Iterator[Item]:
    last = len(scene)
    for end in range(BEFORE + _UNDER_WAY, last + 1):
        places = tuple(range(end - LENGTH, end))
        held = scene.held[end - 1]
        if held is not None:
            yield Item('held', YES_NO[0 if held else 1], ((n, places),))
        yield from about_time(n, places, end)


def about_time(n: int, places: tuple[int, ...], end: int) -> Iterator[Item]:
    """
    Ask about direction and speed of time.

    :param n: index of the footage.
    :param places: images at normal speed.
    :param end: image before which both speeds end.
    """
    yield Item('arrow', 'forwards', ((n, places),))
    yield Item('arrow', 'backwards', ((n, places[::-1]),))
    step = places[1] - places[0]
    double = tuple(range(end - 1 - (LENGTH - 1) * step * _DOUBLE, end, step * _DOUBLE))
    # Both speeds or none, so that the end alone does not tell.
    if double[0] >= 0:
        yield Item('speed', 'normal', ((n, places),))
        yield Item('speed', 'double', ((n, double),))


def _about_two(scenes: Sequence[Filmed]) -> Iterator[Item]:
    """Show two scenes of a group, one after the other, in both orders."""
    groups: dict[str, list[int]] = {}
    for n, scene in enumerate(scenes):
        groups.setdefault(scene.group, []).append(n)
    half = LENGTH // 2
    places = tuple(range(BEFORE - half, BEFORE))
    for two in groups.values():
        if len(two) < 2 or not all(scenes[n].visible[-half:].all() for n in two):
            continue
        speeds = [np.abs(scenes[n].velocity[-half:]).mean() for n in two]
        if abs(speeds[1] - speeds[0]) > _FASTER:  # never of an unknown speed
            for order in ((0, 1), (1, 0)):
                faster = speeds[order[1]] > speeds[order[0]]
                yield Item('faster', 'second' if faster else 'first',
                           tuple((two[part], places) for part in order))


class Draw:
    """
    Draws clips, and with each all questions about it that have a clear answer.

    Kinds, the answers to each, and where the object ends, if that would tell the answer, lead to a
    clip as often one as the other. What else is asked about it comes as it comes, so each question
    has a weight.

    :param items: to draw from; each is also drawn mirrored.
    """

    def __init__(self, items: Sequence[Item]):
        self.items = items
        self._together: dict[tuple, list[int]] = {}
        for number, item in enumerate(items):
            self._together.setdefault(item.parts, []).append(number)
        both = [(number, one) for number, item in enumerate(items)
                for one in (item, item.mirror())]
        self._shares = {
            kind: [list(answers.values()) for answers in _balancing(
                [x for x in both if x[1].kind == kind], kind)]
            for kind in {item.kind: None for item in items}}
        self._shares = {kind: places for kind, places in self._shares.items() if places}
        rng = np.random.default_rng(0)
        counts = Counter(_cell(item) for _ in range(_WEIGHED) for item in self(rng))
        self._weights = {
            _cell(one[0][1]): _WEIGHED / (counts[_cell(one[0][1])] * len(answers) * len(places))
            for places in self._shares.values() for answers in places for one in answers}

    def __call__(self, rng: np.random.Generator) -> list[Item]:
        """Return questions about one clip."""
        kinds = list(self._shares.values())
        places = kinds[rng.integers(len(kinds))]
        answers = places[rng.integers(len(places))]
        found = answers[rng.integers(len(answers))]
        _, chosen = found[rng.integers(len(found))]
        return [self.items[n].mirror() if chosen.mirrored else self.items[n]
                for n in self._together[chosen.parts]]

    def weight(self, item: Item) -> float:
        """
        Return the weight of a question.

        All answers to a kind weigh as much, wherever the object ends, and so do all kinds. The
        direction weighs nothing where all objects that end there move to the same side.
        """
        return self._weights.get(_cell(item), 0.0)


def _cell(item: Item) -> tuple[str, str, int | None]:
    return item.kind, item.answer, item.where


def _balancing(items: Sequence[tuple[int, Item]],
               kind: str) -> list[dict[str, list[tuple[int, Item]]]]:
    """
    Sort the items of a kind by where the object ends, and by their answers.

    :returns: for each place its items by answer; a place without one of the answers is left out.
    """
    found: dict[int | None, dict[str, list[tuple[int, Item]]]] = {}
    for number, item in items:
        found.setdefault(item.where, {}).setdefault(item.answer, []).append((number, item))
    return [answers for where, answers in sorted(found.items(), key=str)
            if where is None or len(answers) == len(KINDS[kind].answers)]


def balanced(items: Sequence[Item], group_of: Callable[[Item], str], most: int,
             seed: int = 0) -> list[Item]:
    """
    Choose a test of as many questions for each answer to a kind.

    Each group is asked once for each answer, before any is asked again.

    :param items: to choose from.
    :param group_of: returns the group of an item.
    :param most: highest number of questions of a kind.
    :returns: items, half of them mirrored; kinds of which an answer is missing are left out.
    """
    rng = np.random.default_rng(seed)
    shuffled = [(int(number), items[number].mirror() if rng.random() < 0.5 else items[number])
                for number in rng.permutation(len(items))]
    chosen = []
    for kind, described in KINDS.items():
        places = _balancing([x for x in shuffled if x[1].kind == kind], kind)
        for answers in places:
            lists = [_spread([item for _, item in answers.get(answer, [])], group_of)
                     for answer in described.answers]
            count = min(most // (len(lists) * len(places)), *map(len, lists))
            chosen += [item for one in lists for item in one[:count]]
    return chosen


def _spread(items: Sequence[Item], group_of: Callable[[Item], str]) -> list[Item]:
    """Sort items so that each group comes once, then each again."""
    seen: Counter = Counter()
    rounds = []
    for item in items:
        group = group_of(item)
        rounds.append(seen[group])
        seen[group] += 1
    return [items[n] for n in np.argsort(rounds, kind='stable')]
