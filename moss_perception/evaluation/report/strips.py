"""Film strips: the best, the worst and the most uncertain attempt of each domain, as seen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.evaluation.report import figures, html
from moss_perception.evaluation.report.pooling import executed
from moss_perception.evaluation.report.summary import Domain
import numpy as np

Images = Callable[[BagRecord, set[int]], Mapping[int, np.ndarray]]
_FRAMES = 6
_WIDEST = 320


@dataclass(frozen=True)
class Strip:
    """
    One attempt that is shown.

    :ivar kind: ``Best``, ``Worst`` or ``Most uncertain``.
    :ivar why: what it was chosen for.
    """

    kind: str
    why: str
    bag: BagRecord
    attempt: AttemptRecord


def choose(one: Domain) -> list[Strip]:
    """
    Choose a domain's attempts, each for one reason only.

    The best and the worst are those whose score is nearest to the outcome and furthest from it;
    the most uncertain has the widest spread over the ensemble, or else the score nearest to 0.5.
    """
    there = [(bag, attempt) for bag in one.pool.bags for attempt in executed(bag)
             if np.isfinite(attempt.score)]
    spread = any(np.isfinite(attempt.uncertainty) for _, attempt in there)
    doubt = ((lambda x: np.nan_to_num(x.uncertainty, nan=-1)) if spread else
             (lambda x: -abs(x.score - 0.5)))
    strips = []
    for kind, key, why in (
            ('Best', lambda x: -abs(x.score - x.success), 'score nearest to the outcome'),
            ('Worst', lambda x: abs(x.score - x.success), 'score furthest from the outcome'),
            ('Most uncertain', doubt, 'widest spread over the ensemble' if spread
             else 'score nearest to 0.5')):
        left = [pair for pair in there if all(pair[1] is not one.attempt for one in strips)]
        if left:
            strips.append(Strip(kind, why, *max(left, key=lambda pair: key(pair[1]))))
    return strips


def moments(attempt: AttemptRecord) -> list[int]:
    """
    Choose the samples that are shown: even steps over the attempt, the decision among them.

    :returns: indices of ``attempt.times_s``, ascending, at most six.
    """
    known = np.flatnonzero(np.isfinite(attempt.scores)
                           & (attempt.times_s <= (attempt.end_ns - attempt.decision_ns) / 1e9))
    if not len(known):
        return []
    places = np.linspace(0, len(known) - 1, min(_FRAMES, len(known))).round().astype(int)
    chosen = known[places]
    decided = known[np.argmin(np.abs(stamps_of(attempt)[known] - (
        attempt.scored_ns or attempt.decision_ns)))]
    chosen[np.argmin(np.abs(chosen - decided))] = decided
    return sorted(set(chosen.tolist()))


def stamps_of(attempt: AttemptRecord) -> np.ndarray:
    """Return the header stamps of an attempt's samples: int64 nanoseconds, shape ``(T,)``."""
    return attempt.decision_ns + np.round(attempt.times_s * 1e9).astype(np.int64)


def fetch(strips: list[Strip], images: Images) -> dict[tuple[int, int], np.ndarray]:
    """
    Get the frames of all strips, each recording opened once.

    :returns: by identity of the recording and stamp.
    """
    wanted: dict[int, tuple[BagRecord, set[int]]] = {}
    for strip in strips:
        stamps = stamps_of(strip.attempt)
        wanted.setdefault(id(strip.bag), (strip.bag, set()))[1].update(
            int(stamps[n]) for n in moments(strip.attempt))
    return {(key, stamp): image for key, (bag, stamps) in wanted.items() if stamps
            for stamp, image in images(bag, stamps).items()}


def draw(strip: Strip, frames: Mapping[tuple[int, int], np.ndarray],
         threshold: float) -> html.Markup:
    """Make a strip: its frames under their scores, and the score's course."""
    attempt, known = strip.attempt, np.isfinite(strip.attempt.scores)
    shown = [_frame(attempt, n, frames.get((id(strip.bag), int(stamps_of(attempt)[n]))))
             for n in moments(attempt)] if frames else []
    first = next((frame for (key, _), frame in frames.items() if key == id(strip.bag)), None)
    aspect = f'--aspect: {first.shape[1]} / {first.shape[0]}' if first is not None else ''
    parts = [html.tag('h3', f'{strip.kind}: attempt {attempt.attempt} ', html.tag(
        'span', 'held' if attempt.success else 'failed',
        class_='held' if attempt.success else 'failed'))]
    parts.append(html.tag('p', _words(strip), class_='note'))
    reel = [html.tag('div', *shown, class_='frames', style=aspect)] if shown else []
    if known.sum() > 1:
        end_s = (attempt.end_ns - attempt.decision_ns) / 1e9
        reel.append(html.plot(figures.svg(
            figures.course, attempt.times_s[known], attempt.scores[known], end_s,
            attempt.success, threshold), f'score of attempt {attempt.attempt} over time'))
    return html.tag('div', *parts, html.tag('div', *reel, class_='reel') if reel else '',
                    class_='strip')


def _words(strip: Strip) -> str:
    attempt = strip.attempt
    spread = (f' ± {attempt.uncertainty:.2f}' if np.isfinite(attempt.uncertainty) else '')
    what = ', '.join(x.replace('_', ' ') for x in (attempt.object, attempt.motion) if x)
    default = ' (of the default grasp point)' if attempt.source == 'default' else ''
    return (f'{strip.why}: {attempt.score:.2f}{spread} at the decision{default}'
            + (f'. {what[0].upper()}{what[1:]}' if what else '') + f'. {strip.bag.path}')


def _frame(attempt: AttemptRecord, index: int, image: np.ndarray | None) -> html.Markup:
    score, stamp = attempt.scores[index], stamps_of(attempt)[index]
    decision = stamp == (attempt.scored_ns or attempt.decision_ns)
    seconds = html.number(float(attempt.times_s[index]), 1, sign=True)
    seen = (html.tag('div', 'frame not available', class_='none') if image is None else
            html.picture(_jpeg(image), 'jpeg', f'frame at {seconds} s, score {score:.2f}'))
    return html.tag(
        'figure', seen, html.tag('span', f'{score:.2f}', class_='over'),
        html.tag('div', html.tag('i', style=f'width: {100 * score:.0f}%'), class_='bar'),
        html.tag('figcaption', 'decision' if decision else f'{seconds} s'),
        class_='frame decision' if decision else 'frame')


def _jpeg(image: np.ndarray) -> bytes:
    factor = _WIDEST / image.shape[1]
    if factor < 1:
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode('.jpg', np.ascontiguousarray(image[:, :, ::-1]),
                           [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data.tobytes()
