"""Findings about a recording that the reader of a report should know."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from moss_perception.core.frames import Frame
from moss_perception.data.bags.topics import CANDIDATES_TOPIC
from moss_perception.evaluation.matching import Matcher
from moss_perception.evaluation.records import AttemptRecord, UnmatchedOutcome

# Longer than a camera's exposure, its driver and a recorder's queue can explain.
_LAG_NS = 1_000_000_000


@dataclass
class Seen:
    """
    Properties of a recording's messages, collected while reading it.

    :ivar candidates_topic: topic as recorded; empty if there is none, ``None`` if unknown.
    :ivar candidates: number of messages on it.
    :ivar calibrations: the topics of calibrations if none of them is used, else ``None``.
    :ivar candidates_frame: frame of the newest candidates.
    """

    candidates_topic: str | None = None
    candidates: int = 0
    calibrations: Sequence[str] | None = None
    candidates_frame: str = ''
    frames: Counter = field(default_factory=Counter)
    first_ns: int = 0
    last_ns: int = 0
    lag_ns: int | None = None
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    foreign: Counter = field(default_factory=Counter)

    def image(self, frame: Frame, recorded_ns: int) -> None:
        """Record the properties of an image."""
        self.frames[frame.frame_id] += 1
        if frame.stamp_ns > 0:
            self.first_ns = min(self.first_ns or frame.stamp_ns, frame.stamp_ns)
            self.last_ns = max(self.last_ns, frame.stamp_ns)
            lag_ns = recorded_ns - frame.stamp_ns
            # Keep the smallest lag: a recorder is late only now and then, a wrong clock always.
            if self.lag_ns is None or abs(lag_ns) < abs(self.lag_ns):
                self.lag_ns = lag_ns
        if self.candidates_frame not in ('', frame.frame_id):
            self.foreign[self.candidates_frame, frame.frame_id] += 1

    def camera_refused(self, why: str) -> None:
        """Count a calibration that can't be used."""
        self._refuse('camera_info', why)

    def candidates_refused(self, why: str) -> None:
        """Count candidates that can't be used."""
        self._refuse('candidates', why)

    def _refuse(self, what: str, why: str) -> None:
        self.refused[what] = (self.refused.get(what, (0, ''))[0] + 1, why)


def unmatched(matcher: Matcher, seen: Seen) -> tuple[UnmatchedOutcome, ...]:
    """List the attempts without images, with the reason."""
    lines = []
    for attempt in matcher.unmet():
        start_ns, end_ns = attempt.outcome.start_ns, attempt.outcome.end_ns
        where = 'no image is stamped within it'
        if end_ns < seen.first_ns:
            where = f'it ends {(seen.first_ns - end_ns) / 1e9:.3f} s before the first image'
        elif start_ns > seen.last_ns:
            where = f'it begins {(start_ns - seen.last_ns) / 1e9:.3f} s after the last image'
        lines.append(UnmatchedOutcome(attempt.outcome.attempt, where))
    return tuple(lines)


def notes(matcher: Matcher, seen: Seen, damage: str) -> tuple[str, ...]:
    """List all other findings about a recording."""
    return tuple(line for line in (
        damage, *_of_attempts(matcher), *_of_clocks(matcher, seen), *_of_frames(seen),
        *_of_candidates(seen), *_of_calibrations(seen),
        *(f'{count} messages of {what} were refused fully or partly: {why}'
          for what, (count, why) in seen.refused.items())) if line)


def of_attempts(attempts: Sequence[AttemptRecord]) -> tuple[str, ...]:
    """List the findings about the attempts' scores."""
    return tuple(line for line in (
        _not_executed(attempts), _nearest(attempts), _stale(attempts),
        _elsewhere(attempts)) if line)


def _not_executed(attempts: Sequence[AttemptRecord]) -> str:
    count = sum(not x.executed for x in attempts)
    return (f'not_executed: in {count} of {len(attempts)} attempts no grasp was executed; they '
            'have no score and are not failures') if count else ''


def _nearest(attempts: Sequence[AttemptRecord]) -> str:
    count = sum(x.source == 'nearest' for x in attempts)
    return (f'{count} attempts have the score of the candidate nearest to the executed grasp: '
            'their outcomes do not say which candidate was executed') if count else ''


def _stale(attempts: Sequence[AttemptRecord]) -> str:
    """List attempts with a score that was too old at the decision."""
    ages_s = {x.attempt: -x.times_s[x.times_s <= 0].max() for x in attempts
              if x.executed and x.scored_ns is None and (x.times_s <= 0).any()}
    if not ages_s:
        return ''
    named = ', '.join(f'{number} ({age_s:.3f} s)' for number, age_s in list(ages_s.items())[:5])
    more = f' and {len(ages_s) - 5} more' if len(ages_s) > 5 else ''
    return (f'{len(ages_s)} attempts have no score, because the newest score before their '
            'decision '
            f"was older than the model's max gap: {named}{more}")


def _elsewhere(attempts: Sequence[AttemptRecord]) -> str:
    """List the attempts that were scored at a different point than their executed grasp."""
    numbers = [str(x.attempt) for x in attempts if x.scored_elsewhere]
    if not numbers:
        return ''
    more = f' and {len(numbers) - 5} more' if len(numbers) > 5 else ''
    return (f'{len(numbers)} of {len(attempts)} attempts are scored at the default grasp point, '
            'although their executed pose is known, because it is not among the scored '
            f'candidates: {", ".join(numbers[:5])}{more}. The gripper may have closed somewhere '
            'else, so these scores may not fit the outcomes, and scored_share does not count them')


def _of_attempts(matcher: Matcher) -> list[str]:
    if not matcher.records() and not matcher.unmet():
        return ['no outcomes were recorded, so the scores cannot be compared with any']
    pairs = matcher.overlaps()
    if not pairs:
        return []
    named = ', '.join(f'{first} and {second}' for first, second in pairs[:5])
    more = f' and {len(pairs) - 5} more pairs' if len(pairs) > 5 else ''
    return [f'attempts overlap in time; each is scored separately: {named}{more}']


def _of_clocks(matcher: Matcher, seen: Seen) -> list[str]:
    found, unmet = [], matcher.unmet()
    if unmet and not matcher.records():
        found.append(f'none of the {len(unmet)} outcomes overlaps the images in time: expected '
                     'stamps of the same clock')
    if seen.lag_ns is not None and abs(seen.lag_ns) > _LAG_NS:
        way = 'behind' if seen.lag_ns > 0 else 'ahead of'
        found.append(f'the header stamps of the images are {abs(seen.lag_ns) / 1e9:.3f} s {way} '
                     "the recorder's clock: outcomes need stamps of the images' clock")
    return found


def _of_frames(seen: Seen) -> list[str]:
    found = [f'{count} images are in frame {images!r} and their candidates in {candidates!r}: '
             'these candidates are not scored; expected one frame'
             for (candidates, images), count in seen.foreign.items()]
    if len(seen.frames) > 1:
        found.append('the images are in several frames, and each change resets the window: '
                     + ', '.join(f'{name!r} ({count})' for name, count in seen.frames.items()))
    return found


def _of_candidates(seen: Seen) -> list[str]:
    if seen.candidates_topic is None:
        return []
    if not seen.candidates:
        return [f'no grasp candidates on {seen.candidates_topic or CANDIDATES_TOPIC}: if the '
                'executed grasp is unknown, the default grasp point is scored']
    if seen.candidates_topic != CANDIDATES_TOPIC:
        return [f'the grasp candidates are read from {seen.candidates_topic}']
    return []


def _of_calibrations(seen: Seen) -> list[str]:
    if seen.calibrations is None or not (seen.calibrations or seen.candidates):
        return []
    why = 'there is no camera calibration'
    if seen.calibrations:
        why = (f'camera calibrations are on {", ".join(seen.calibrations)}, but none is in the '
               'namespace of the images, and no topic was given')
    return [f'{why}: only the default grasp point can be scored']
