"""What a reader has to know before any figure: nothing scored, scored elsewhere, unfamiliar."""

from collections.abc import Iterable, Sequence

from moss_perception.core.looks import LOOKS
from moss_perception.evaluation.findings import causes
from moss_perception.evaluation.intervals import wilson
from moss_perception.evaluation.records import BagRecord, UnmatchedOutcome
from moss_perception.evaluation.report.recordings import Pool
from moss_perception.runtime.frame_status import FrameStatus
from moss_perception.runtime.ood import FALSE_ALARMS
import numpy as np

ALARM = 1.0
"""OOD score above which a frame counts as out of distribution: the checkpoint's own limit."""

_NAMED = 3


def warnings(pools: Sequence[Pool]) -> list[str]:
    """
    List what may make the figures wrong, the gravest first.

    :param pools: the domains of an evaluation.
    :returns: one line each, with the domain or the recording that it is about.
    """
    found = [f'{one.name}: {line}' for one in pools for line in _of_scores(one)]
    found += [f'{bag.path}: {line}' for one in pools for bag in one.bags
              for line in (*_of_frames(bag), *_of_looks(bag), *bag.warnings)]
    return [*found, *(f'{one.name}: {line}' for one in pools for line in _of_images(one))]


def _of_scores(one: Pool) -> list[str]:
    """Say how many executed grasps have no score of their own, and why."""
    total, lost = len(one.attempts), sum(len(bag.unmatched) for bag in one.bags)
    if not total:
        return ['there is no attempt with an outcome, so no figure can be measured'
                + (f'; {lost} outcomes match no image' if lost else '')]
    elsewhere = [x for x in one.attempts if x.scored_elsewhere]
    without = [x for x in one.attempts if not np.isfinite(x.score)]
    found = []
    if lost:
        every = lost + total + one.not_executed
        found.append(f'{lost} of {every} outcomes match no image, so the figures are of the '
                     f'others alone: {_first(x for bag in one.bags for x in bag.unmatched)}')
    if elsewhere:
        found.append(f'{len(elsewhere)} of {total} attempts are not scored at the grasp that was '
                     'executed but at the default grasp point, so the figures may mean nothing: '
                     f'{causes(elsewhere)}')
    if without:
        found.append(f'{len(without)} of {total} attempts have no score: {causes(without)}')
    return found


def _first(outcomes: Iterable[UnmatchedOutcome]) -> str:
    """Name some outcomes, and count the others."""
    shown = list(map(str, outcomes))
    return '; '.join(shown[:_NAMED]) + f'; and {len(shown) - _NAMED} more' * (len(shown) > _NAMED)


def _of_frames(bag: BagRecord) -> list[str]:
    """Say why no image was scored."""
    scored = bag.by_status.get(FrameStatus.SCORED.value, 0)
    if scored or not bag.frames:
        return [] if bag.frames else ['there are no images']
    reasons = [f'{count} {name}' for name, count in bag.by_status.items() if count]
    for what, counts in (('refused', bag.refused), ('resets of the window', bag.resets)):
        if counts:
            reasons.append(f'{what}: ' + ', '.join(
                f'{name} {count}' for name, count in sorted(counts.items())))
    return [f'none of {bag.frames} images was scored ({"; ".join(reasons)}): expected enough '
            'samples without a gap to fill the window']


def _of_looks(bag: BagRecord) -> list[str]:
    """Say how many pictures may show nothing."""
    return [f'{count} decoded pictures are {LOOKS[name]}'
            for name, count in sorted(bag.doubtful.items())]


def _of_images(one: Pool) -> list[str]:
    """Say whether more images are unfamiliar than false alarms explain."""
    known = one.values('ood_score')
    known = known[np.isfinite(known)]
    count = int((known > ALARM).sum())
    if not count or wilson(count, len(known)).low <= FALSE_ALARMS:
        return []
    return [f'out of distribution: the images of {count} of {len(known)} decisions are unlike '
            f'those of training (median OOD score {np.median(known):.2f}, alarm above '
            f'{ALARM:g}); do not trust the scores for what the camera shows']
