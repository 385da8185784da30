"""Film strips: the best, the worst and the most uncertain attempt of each domain, as seen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from moss_perception.evaluation import shown
from moss_perception.evaluation.pictures import to_jpeg
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.evaluation.report import figures, html
from moss_perception.evaluation.report.summary import Domain
import numpy as np

Images = Callable[[BagRecord, set[int]], Mapping[int, np.ndarray]]


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
    """Choose a domain's attempts, of all its recordings together."""
    there = [(bag, attempt) for bag in one.pool.bags for attempt in bag.attempts]
    return [Strip(x.kind, x.why, *there[x.index])
            for x in shown.choose([attempt for _, attempt in there])]


def fetch(strips: list[Strip], images: Images) -> dict[tuple[int, int], np.ndarray]:
    """
    Get the frames of all strips, each recording opened once.

    :returns: by identity of the recording and stamp.
    """
    wanted: dict[int, tuple[BagRecord, set[int]]] = {}
    for strip in strips:
        wanted.setdefault(id(strip.bag), (strip.bag, set()))[1].update(
            shown.stamps_shown(strip.attempt))
    return {(key, stamp): image for key, (bag, stamps) in wanted.items() if stamps
            for stamp, image in images(bag, stamps).items()}


def draw(strip: Strip, frames: Mapping[tuple[int, int], np.ndarray],
         threshold: float) -> html.Markup:
    """Make a strip: its frames under their scores, and the score's course."""
    attempt, known = strip.attempt, np.isfinite(strip.attempt.scores)
    stills = [_frame(attempt, n, frames.get((id(strip.bag), int(shown.stamps_of(attempt)[n]))))
              for n in shown.moments(attempt)] if frames else []
    first = next((frame for (key, _), frame in frames.items() if key == id(strip.bag)), None)
    aspect = f'--aspect: {first.shape[1]} / {first.shape[0]}' if first is not None else ''
    parts = [html.tag('h3', f'{strip.kind}: attempt {attempt.attempt} ', html.tag(
        'span', 'held' if attempt.success else 'failed',
        class_='held' if attempt.success else 'failed'))]
    parts.append(html.tag('p', _words(strip), class_='note'))
    reel = [html.tag('div', *stills, class_='frames', style=aspect)] if stills else []
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
    score, stamp = attempt.scores[index], shown.stamps_of(attempt)[index]
    decision = stamp == (attempt.scored_ns or attempt.decision_ns)
    known = np.isfinite(score)
    said = f'score {score:.2f}' if known else 'not scored'
    seconds = html.number(float(attempt.times_s[index]), 1, sign=True)
    seen = (html.tag('div', 'frame not available', class_='none') if image is None else
            html.picture(to_jpeg(image), 'jpeg', f'frame at {seconds} s, {said}'))
    over = [html.tag('span', f'{score:.2f}', class_='over')] if known else []
    return html.tag(
        'figure', seen, *over, html.tag('div', html.tag(
            'i', style=f'width: {100 * score:.0f}%') if known else '', class_='bar'),
        html.tag('figcaption', 'decision' if decision else f'{seconds} s'),
        class_='frame decision' if decision else 'frame')
