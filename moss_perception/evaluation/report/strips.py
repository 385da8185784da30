"""Film strips of the best, the worst and the most uncertain attempt of each domain."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moss_perception.evaluation import pictures
from moss_perception.evaluation.grasp_drawing import paint_gripper
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.evaluation.report import figures
from moss_perception.evaluation.report.summary import split, Summary
import numpy as np

# Width in which the gripper is drawn, pixels.
_DRAWN_WIDTH = 480
_WHITE = (255, 255, 255)
# The page's colours of outcomes, brighter, since they are drawn on pictures.
_RGB = {True: (90, 220, 120), False: (255, 96, 80)}

Images = Callable[[BagRecord, set[int]], Mapping[int, np.ndarray]]


def values(summary: Summary, images: Images | None) -> dict[str, Any]:
    """Return the template's values: the strips of each domain; empty without scores."""
    domains = []
    for one, _ in split(summary.domains)[0]:
        there = [(bag, attempt) for bag in one.pool.bags for attempt in bag.attempts]
        chosen = [(choice, *there[choice.index])
                  for choice in pictures.choose([attempt for _, attempt in there])]
        frames = _fetch([pair for _, *pair in chosen], images) if images else {}
        if chosen:
            domains.append((one.name, [_strip(*x, frames, summary.threshold) for x in chosen]))
    return {'domains': domains} if domains else {}


def _fetch(chosen: Sequence[Sequence[Any]], images: Images) -> dict[tuple[int, int], np.ndarray]:
    """
    Read the frames of attempts, opening each recording once.

    :param chosen: recording and attempt of each strip.
    :returns: frames by identity of the recording and stamp.
    """
    wanted: dict[int, tuple[BagRecord, set[int]]] = {}
    for bag, attempt in chosen:
        wanted.setdefault(id(bag), (bag, set()))[1].update(pictures.stamps_shown(attempt))
    return {(key, stamp): image for key, (bag, stamps) in wanted.items() if stamps
            for stamp, image in images(bag, stamps).items()}


def _strip(choice: pictures.Choice, bag: BagRecord, attempt: AttemptRecord,
           frames: Mapping[tuple[int, int], np.ndarray], threshold: float) -> dict[str, Any]:
    """Return a strip's frames with their scores, and a plot of the scores over time."""
    known = np.isfinite(attempt.scores)
    first = next((frame for (key, _), frame in frames.items() if key == id(bag)), None)
    course = None
    if known.sum() > 1:
        end_s = (attempt.end_ns - attempt.decision_ns) / 1e9
        course = figures.svg(figures.course, attempt.times_s[known], attempt.scores[known], end_s,
                             attempt.success, threshold)
    what = ', '.join(x.replace('_', ' ') for x in (attempt.object, attempt.motion) if x)
    return {'kind': choice.kind, 'why': choice.why, 'attempt': attempt,
            'spread': attempt.uncertainty if np.isfinite(attempt.uncertainty) else None,
            'what': what[:1].upper() + what[1:], 'recording': bag.path,
            'not_drawn': '' if attempt.fingers.size else attempt.why or 'its place is unknown',
            'aspect': f'{first.shape[1]} / {first.shape[0]}' if first is not None else '1 / 1',
            'stills': [_still(attempt, n, frames.get(
                (id(bag), int(pictures.stamps_of(attempt)[n]))))
                for n in pictures.moments(attempt)] if frames else [], 'course': course}


def _still(attempt: AttemptRecord, index: int, image: np.ndarray | None) -> dict[str, Any]:
    score = float(attempt.scores[index])
    if image is not None:
        # Lines on a small image would be coarse once it is enlarged.
        factor = max(1, round(_DRAWN_WIDTH / image.shape[1]))
        image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    colour = _WHITE if attempt.times_s[index] < 0 else _RGB[attempt.success]
    return {'time_s': float(attempt.times_s[index]),
            'score': score if np.isfinite(score) else None,
            'decision': pictures.stamps_of(attempt)[index] == (
                attempt.scored_ns or attempt.decision_ns),
            'jpeg': None if image is None else pictures.to_jpeg(
                paint_gripper(image, attempt.fingers, colour))}
