"""The level and the message of grasp_predictor's diagnostics."""

from dataclasses import dataclass

from moss_perception.core.codes import coded
from moss_perception.core.looks import LOOKS
from moss_perception.ros.common.conversions import ERROR, OK, STALE, WARN
from moss_perception.runtime.frame_status import INTERNAL_ERROR, repeats
from moss_perception.runtime.predictor import Counters

PAUSED = 'paused by ~/enable'
# Without an image for so long, the results are stale.
STALE_S = 2.0
# Candidates that are so much older than the image are those of a planner that has stopped.
OLD_S = 30.0
# Resets that somebody asked for.
_WANTED = ('activated', 'enabled', 'requested')
# One reset or one doubtful picture may happen; these numbers within seconds go on.
_REPEATED_RESETS, _DOUBTFUL, _DOUBTFUL_SHARE = 2, 3, 0.25


@dataclass(frozen=True)
class Health:
    """
    The state of an active node.

    :ivar topic: the image topic.
    :ivar since_frame_s: seconds since the last image; ``None`` before the first.
    :ivar fill: samples in the window.
    :ivar window: samples of a full window.
    :ivar enabled: whether ``~/enable`` lets images through.
    :ivar problem: a QoS or type mismatch, or a hint where to look for images; or empty.
    :ivar last_refusal: the last refused frame, in words.
    :ivar failure: the last unexpected exception, while it is recent; or empty.
    :ivar ood_score: the median OOD score of the newest samples, while they are out of
        distribution; else ``None``.
    :ivar none_scored: that there are candidates and none has a score, with the reasons; or empty.
    :ivar candidates_s: how much older the scored candidates are than the image, seconds; 0 for
        none.
    :ivar lately: counters some seconds ago, to tell what goes on; ``None`` if not known.
    """

    topic: str
    since_frame_s: float | None
    fill: int
    window: int
    enabled: bool
    problem: str = ''
    last_refusal: str = ''
    failure: str = ''
    ood_score: float | None = None
    none_scored: str = ''
    candidates_s: float = 0.0
    lately: Counters | None = None


def judge(health: Health, before: Counters, now: Counters, elapsed_s: float) -> tuple[bytes, str]:
    """
    Reduce the state of an active node to one level and one message.

    :param health: the state.
    :param before: counters at the message before.
    :param now: counters at present.
    :param elapsed_s: seconds between them.
    :returns: level and message.
    """
    frames, dropped = now.frames - before.frames, now.dropped - before.dropped
    refused = sum((now.refused - before.refused).values())
    if health.failure:
        return ERROR, coded(INTERNAL_ERROR, f'internal error: {health.failure}')
    if not health.enabled:
        return OK, PAUSED
    if health.since_frame_s is None:
        return WARN, coded('no_frames', f'no frames yet on {health.topic}: '
                           f'{health.problem or "nothing publishes it"}')
    if health.since_frame_s > STALE_S:
        return STALE, coded(
            'camera_stopped', f'no frame on {health.topic} for {health.since_frame_s:.1f} s')
    if refused:
        return WARN, f'refused {refused} of {frames} frames, last {health.last_refusal}'
    if dropped:
        return WARN, coded('overloaded', f'overloaded: dropped {dropped} of {frames} frames')
    lately = health.lately or before
    if problem := (coded('camera_stopped', health.problem)
                   or coded('nothing_scored', resets(before, now, lately))
                   or coded('none_scored', health.none_scored) or doubtful(before, now, lately)
                   or repeats(now.missing - before.missing,
                              now.scored + now.stored - before.scored - before.stored)
                   or coded('candidates_old', old_candidates(health.candidates_s))):
        return WARN, coded('repeated_samples', problem)
    if health.ood_score is not None:
        return WARN, coded('out_of_distribution', unfamiliar(health.ood_score))
    if health.fill < health.window:
        return OK, f'window filling: {health.fill} of {health.window} samples'
    return OK, f'running: {(now.scored - before.scored) / elapsed_s:.1f} scores a second'


def resets(before: Counters, now: Counters, lately: Counters) -> str:
    """
    Say that resets of the window keep it from scoring.

    :param before: counters a second ago.
    :param lately: counters some seconds ago.
    :returns: a line, if the window was reset and nothing scored since ``before``, or reset twice
        since ``lately`` so that at most half of the samples were scored; empty otherwise.
    """
    for since, fewest in ((before, 1), (lately, _REPEATED_RESETS)):
        counted = {reason: times for reason, times in (now.resets - since.resets).items()
                   if reason not in _WANTED}
        scored, stored = now.scored - since.scored, now.stored - since.stored
        if sum(counted.values()) < fewest or scored > (0 if since is before else stored):
            continue
        reasons = ', '.join(f'{reason} {times}' for reason, times in sorted(counted.items()))
        what = f'only {scored} of {scored + stored} samples were' if scored else 'nothing was'
        return (f'the window was reset {sum(counted.values())} times ({reasons}) and {what} '
                'scored: expected images of one camera, of one size, with increasing stamps')
    return ''


def doubtful(before: Counters, now: Counters, lately: Counters) -> str:
    """Say that pictures that may show nothing go on, with the code of their kind; else empty."""
    samples = now.scored + now.stored - lately.scored - lately.stored
    for look, count in (now.doubtful - lately.doubtful).most_common(1):
        goes_on = now.doubtful[look] > before.doubtful[look]
        if goes_on and count >= _DOUBTFUL and count > _DOUBTFUL_SHARE * samples:
            return coded(look, f'{count} of {samples} pictures are {LOOKS[look]}')
    return ''


def old_candidates(age_s: float) -> str:
    """Say that the planner seems to have stopped; empty if not."""
    return '' if age_s <= OLD_S else (
        f'the candidates are {age_s:.0f} s older than the image: expected a planner that proposes '
        'anew, or withdraws them by an empty PoseArray')


def unfamiliar(ood_score: float) -> str:
    """Say that a stream is out of distribution."""
    return (f'out of distribution: OOD score {ood_score:.2f}, expected at most 1; do not trust '
            'the scores for what the camera shows')
