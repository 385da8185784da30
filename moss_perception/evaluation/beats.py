"""What a node's diagnostics, once a second, tell of a whole run: durations, and the shift."""

from collections.abc import Mapping, Sequence
import math

import numpy as np

DURATIONS = tuple(f'{name}_p{percent}_ms' for name in ('decode', 'inference', 'age')
                  for percent in (50, 95))
OUT = 'out_of_distribution_share'
KEPT = ('scored', 'novelty', 'out_of_distribution', *DURATIONS)
"""The values of a beat that count here; the others need not be kept."""


def summarise_beats(beats: Sequence[Mapping[str, str]], aged: bool = True) -> dict[str, float]:
    """
    Sum a run's beats up.

    :param beats: values by key, in order; those in which nothing was scored anew do not count.
    :param aged: whether stamps are of the node's own clock: those of a recording are not.
    :returns: each of :data:`DURATIONS`, the median over the beats, each of which is about the
        newest 200 samples, milliseconds; and :data:`OUT`, the share of the beats in which what
        was seen was out of distribution, in [0, 1]. NaN where nothing was told.
    """
    newer, before = [], 0
    for beat in beats:
        scored = int(beat.get('scored', 0))
        if scored > before:
            newer.append(beat)
        before = scored
    found = {name: _median(newer, name) if aged or not name.startswith('age') else math.nan
             for name in DURATIONS}
    watched = [beat['out_of_distribution'] == 'yes' for beat in newer
               if 'out_of_distribution' in beat and math.isfinite(_number(beat, 'novelty'))]
    return found | {OUT: float(np.mean(watched)) if watched else math.nan}


def _median(beats: Sequence[Mapping[str, str]], name: str) -> float:
    known = [value for value in (_number(beat, name) for beat in beats) if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan


def _number(beat: Mapping[str, str], name: str) -> float:
    return float(beat.get(name, 'nan'))
