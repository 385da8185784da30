"""A run over topics as a record: what was heard of the frames, held against the outcomes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
import math
from typing import Any, Protocol

from moss_perception.core.errors import MossError
from moss_perception.data.outcomes import domains_of
from moss_perception.evaluation import findings
from moss_perception.evaluation.beats import summarise_beats
from moss_perception.evaluation.matching import Attempt, Matcher, ScoredSample
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.runtime.predictor import MAX_GAP_S
import numpy as np

_UNKNOWN: Mapping[int, Any] = {}
LIVE = 'live'
"""Path and pace of a run without a recording."""
KINDS = ('scored', 'stored', 'skipped', 'refused')


class Scores(Protocol):
    """
    The scores of one frame.

    :ivar stamp_ns: the frame's header stamp, nanoseconds.
    :ivar received_ns: when they arrived, on the monotonic clock, nanoseconds.
    :ivar rows: structured array of ``x``, ``y``, ``z``, ``score`` and ``uncertainty``.
    """

    stamp_ns: int
    received_ns: int
    rows: np.ndarray


@dataclass(frozen=True)
class Heard:
    """
    What a node published.

    :ivar scores: of each scored frame, in order of arrival.
    :ivar defaults: the default grasp's score of each of them, in the same order.
    :ivar fates: stamp and ``scored``, ``stored``, ``skipped`` or ``refused`` of each frame that
        arrived, in the order in which that was decided.
    :ivar diagnostics: the last values by key.
    :ivar beats: of each diagnostics message those that :mod:`moss_perception.evaluation.beats`
        sums up, in order.
    """

    scores: Sequence[Scores]
    defaults: Sequence[float]
    fates: Sequence[tuple[int, str]]
    diagnostics: Mapping[str, str]
    beats: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class Played:
    """
    What passed before the camera.

    :ivar path: of the recording, or in words.
    :ivar domain: empty to take it from the outcomes.
    :ivar frames: images that were published; ``None`` if nobody knows.
    :ivar pace: ``lock step``, ``1x`` (or another rate) or ``live``.
    :ivar lost_share: share of the recording that a damaged file no longer gives, in [0, 1].
    :ivar damage: what is wrong with it, in a line; empty if nothing is known to be.
    :ivar seen: what was noticed of its messages; ``None`` without a recording.
    :ivar published: when each image was published, by its stamp, monotonic nanoseconds.
    """

    path: str
    domain: str
    image_topic: str
    duration_s: float
    frames: int | None
    pace: str
    closed_loop: bool = False
    lost_share: float = 0.0
    damage: str = ''
    seen: findings.Seen | None = None
    published: Mapping[int, int] = field(default_factory=dict)


def record_of(heard: Heard, attempts: Sequence[Attempt], played: Played, elapsed_s: float,
              verified: str = '', notes: Sequence[str] = (),
              unexecuted: Collection[int] = (),
              novelties: Mapping[int, float] = _UNKNOWN,
              pictures: Mapping[int, bytes] = _UNKNOWN) -> BagRecord:
    """
    Put a run in a record.

    :param attempts: in order.
    :param elapsed_s: that the run took, seconds.
    :param verified: what a comparison with an offline replay has found.
    :param notes: to stand before those of this function.
    :param unexecuted: numbers of the attempts in which no grasp was executed.
    :param novelties: how unlike training a frame is, by stamp; the topics do not tell.
    :param pictures: kept of its frames, JPEG files by stamp.
    :raises MossError: if scores were missed, so that the record would be wrong.
    """
    _check_complete(heard, played.frames is None)
    told = heard.diagnostics
    arrived = len(heard.fates)
    frames = arrived if played.frames is None else max(played.frames, arrived)
    kinds = Counter(kind for _, kind in heard.fates)
    matcher = match(heard, attempts, novelties)
    seen = _seen(heard) if played.seen is None else played.seen
    records = tuple(replace(x, score=math.nan, uncertainty=math.nan, source='none', executed=False)
                    if x.attempt in unexecuted else x for x in matcher.records())
    return BagRecord(
        path=played.path,
        domain=played.domain or domains_of(x.outcome for x in attempts),
        image_topic=played.image_topic, duration_s=played.duration_s, frames=frames,
        fates={kind: kinds[kind] for kind in KINDS}, refused=_counts(told, 'refused/'),
        missing=int(told.get('missing', 0)), resets=_counts(told, 'resets/'),
        elapsed_s=elapsed_s, decode_ms=np.zeros(0), inference_ms=np.zeros(0), attempts=records,
        notes=(*filter(None, (played.damage,)), *notes,
               *_notes(told, frames - arrived, frames, played, records),
               *findings.notes(matcher, seen, ''), *findings.of_scores(records)),
        unmatched=findings.unmatched(matcher, seen),
        verified=verified, not_arrived=frames - arrived, pace=played.pace,
        closed_loop=played.closed_loop, lost_share=played.lost_share, pictures=pictures,
        told=summarise_beats(heard.beats, aged=played.path == LIVE),
        latency_ms=np.array([(s.received_ns - played.published[s.stamp_ns]) / 1e6
                             for s in heard.scores if s.stamp_ns in played.published]))


def _check_complete(heard: Heard, goes_on: bool) -> None:
    scored = Counter(stamp for stamp, kind in heard.fates if kind == 'scored')
    unheard = scored - Counter(scores.stamp_ns for scores in heard.scores)
    if goes_on:
        # Of a camera that goes on, the newest frame's scores may still be on their way.
        newest = max((scores.stamp_ns for scores in heard.scores), default=0)
        unheard = Counter({stamp: n for stamp, n in unheard.items() if stamp <= newest})
    if unheard:
        raise MossError(f'{sum(unheard.values())} of {sum(scored.values())} scores were not '
                        'heard: expected all; the machine may be too busy')
    told = int(heard.diagnostics.get('frames', len(heard.fates)))
    if told > len(heard.fates):
        raise MossError(f'of {told} frames that arrived, the fate of {told - len(heard.fates)} '
                        'was not heard: expected all, from before the first frame on')


def match(heard: Heard, attempts: Sequence[Attempt],
          novelties: Mapping[int, float] = _UNKNOWN) -> Matcher:
    """Give all that was heard to the attempts."""
    gap_s = float(heard.diagnostics.get('max_gap', MAX_GAP_S))
    matcher = Matcher(attempts, round(gap_s * 1e9))
    for stamp_ns, _ in heard.fates:
        matcher.see(stamp_ns)
    # Without a stamp, the defaults are told apart by their order alone.
    aligned = len(heard.defaults) == len(heard.scores)
    for index, scores in enumerate(heard.scores):
        matcher.take(_sample(scores, heard.defaults[index] if aligned else math.nan,
                             novelties.get(scores.stamp_ns, math.nan)))
    return matcher


def _seen(heard: Heard) -> findings.Seen:
    """Notice what the stamps alone tell: topics say neither frames nor when one was recorded."""
    stamps = [stamp_ns for stamp_ns, _ in heard.fates if stamp_ns > 0]
    return findings.Seen(first_ns=min(stamps, default=0), last_ns=max(stamps, default=0))


def _sample(scores: Scores, default: float, novelty: float) -> ScoredSample:
    rows = scores.rows
    alone = len(rows) == 1 and rows['score'][0] == np.float32(default)
    return ScoredSample(
        scores.stamp_ns, np.stack([rows['x'], rows['y'], rows['z']], axis=1).astype(float),
        rows['score'], rows['uncertainty'], default,
        float(rows['uncertainty'][0]) if alone else math.nan, novelty)


def _counts(told: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): int(value) for name, value in told.items()
            if name.startswith(prefix)}


def _notes(told: Mapping[str, str], not_arrived: int, frames: int, played: Played,
           records: Sequence[AttemptRecord]) -> list[str]:
    notes = []
    if not_arrived:
        notes.append(f'played at {played.pace}: {not_arrived} of {frames} frames did not arrive')
    if dropped := int(told.get('dropped', 0)):
        notes.append(f'{dropped} frames were dropped: they came faster than they could be scored')
    if failures := int(told.get('failures', 0)):
        notes.append(f'the predictor had {failures} internal errors: its log has them')
    if unexecuted := sum(not x.executed for x in records):
        notes.append(f'in {unexecuted} of {len(records)} attempts no grasp was selected')
    return notes
