"""Summarise a predictor's diagnostics over a whole run: durations and the OOD share."""

from collections.abc import Mapping, Sequence
import math

import numpy as np

DURATIONS = tuple(f'{name}_p{percent}_ms' for name in ('decode', 'inference', 'age')
                  for percent in (50, 95))
OUT = 'out_of_distribution_share'


def summarise_diagnostics(samples: Sequence[Mapping[str, str]],
                          aged: bool = True) -> dict[str, float]:
    """
    Summarise diagnostics samples, which come once a second.

    :param samples: values by key, in order; samples without newly scored frames do not count.
    :param aged: whether the frames have stamps of the node's clock, unlike a recording's frames.
    :returns: for each of :data:`DURATIONS` the median over the samples, milliseconds (a sample
        covers the newest 200 frames); for :data:`OUT` the share of samples that report the
        images as out of distribution, in [0, 1]. NaN if no sample has the value.
    """
    newer, before = [], 0
    for sample in samples:
        scored = int(sample.get('scored', 0))
        if scored > before:
            newer.append(sample)
        before = scored
    found = {name: _median(newer, name) if aged or not name.startswith('age') else math.nan
             for name in DURATIONS}
    flagged = [sample['out_of_distribution'] == 'yes' for sample in newer
               if 'out_of_distribution' in sample and math.isfinite(_number(sample, 'ood_score'))]
    return found | {OUT: float(np.mean(flagged)) if flagged else math.nan}


def _median(samples: Sequence[Mapping[str, str]], name: str) -> float:
    values = [_number(sample, name) for sample in samples]
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan


def _number(sample: Mapping[str, str], name: str) -> float:
    return float(sample.get(name, 'nan'))
