"""Compare the clock of the images' stamps with the recorder's, outcomes' and other cameras'."""

from array import array
from collections.abc import Iterable

from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import header_of
from moss_perception.data.outcomes import Outcome
import numpy as np

# Images on each side of a jump: a recorder that stops to write catches up within so many.
_AROUND, _FEWEST_AROUND = 100, 20
_JUMP_S = 0.1
# A drift is large enough to matter, and even.
_SEGMENTS, _FEWEST, _SHORTEST_S, _DRIFT_S, _EVEN = 10, 200, 60.0, 0.05, 0.25
# Beyond this, stamps are of a simulation or a player at another speed, and not of a real clock.
_SAME_PACE = 0.02
# Cameras have delays of their own, up to this.
_APART_S, _LOOKED_AT, _LOOK_NS = 0.25, 50, 20_000_000_000
# Images before an outcome that tell the lag at its time, and outcomes that are not late by chance.
_BEFORE, _FEWEST_OUTCOMES = 10, 3


class ClockCheck:
    """
    Follows how far the stamps of images are behind the times of recording.

    Lost images change both clocks alike, and a slow recorder changes the lag for a moment only.
    Stamps that run at another pace than the recorder's clock, as in a simulation, are not judged.
    """

    def __init__(self):
        self._stamps_ns, self._recorded_ns = array('q'), array('q')

    def image(self, stamp_ns: int, recorded_ns: int) -> None:
        """Take the stamp of the next image, and when it was recorded, nanoseconds."""
        if stamp_ns > 0:
            self._stamps_ns.append(stamp_ns)
            self._recorded_ns.append(recorded_ns)

    def lines(self) -> list[str]:
        """Return what is wrong with the clock, in words; empty if it is right."""
        if len(self._stamps_ns) < 2 * _FEWEST_AROUND:
            return []
        recorded_s = (np.array(self._recorded_ns) - self._recorded_ns[0]) / 1e9
        lag_s = (np.array(self._recorded_ns) - np.array(self._stamps_ns)) / 1e9
        jumps = _jumps(lag_s)
        # What the jumps do not explain tells the pace.
        ends_s = [float(x.min()) for x in (lag_s[:_FEWEST_AROUND], lag_s[-_FEWEST_AROUND:])]
        changed_s = ends_s[1] - ends_s[0] + sum(jumps.values())
        if abs(changed_s) > max(_SAME_PACE * recorded_s[-1], _JUMP_S):
            return []
        return [_jumps_in_words(jumps, recorded_s)] if jumps else _drift(recorded_s, lag_s)

    def outcomes(self, outcomes: Iterable[Outcome]) -> list[str]:
        """
        Compare the end stamps of outcomes with the images that were recorded at the same time.

        :param outcomes: those whose time of recording is not known are left out.
        :returns: a line if both are of different clocks; empty otherwise.
        """
        recorded_ns, lags_s, late_s = np.array(self._recorded_ns), [], []
        lag_s = (recorded_ns - np.array(self._stamps_ns)) / 1e9
        for one in outcomes:
            if one.recorded_ns is None:
                continue
            upto = int(np.searchsorted(recorded_ns, one.recorded_ns, side='right'))
            if upto:
                lags_s.append(float(np.median(lag_s[max(upto - _BEFORE, 0):upto])))
                late_s.append((one.recorded_ns - one.end_ns) / 1e9)
        if not late_s:
            return []
        apart_s = np.array(late_s) - np.array(lags_s)
        middle_s = float(np.median(apart_s))
        # Some outcomes can be told late; none can be told before it is there.
        behind = len(apart_s) >= _FEWEST_OUTCOMES and apart_s.min() > _APART_S
        if not behind and middle_s >= -_APART_S:
            return []
        way = 'behind' if behind else 'ahead of'
        return [f'the outcomes are stamped {abs(middle_s):.3f} s {way} the images: they were '
                f'recorded {_after(late_s)} their end, the images {_after(lags_s)} their '
                f'stamps (medians)'
                f'{", unless all are told late" if behind else ""}; scores of other moments are '
                "compared with them: expected stamps of the images' clock"]


def _after(times_s: list[float]) -> str:
    middle_s = float(np.median(times_s))
    return f'{abs(middle_s):.3f} s {"after" if middle_s >= 0 else "before"}'


def _jumps(lag_s: np.ndarray) -> dict[int, float]:
    """Return by how much the stamps jump ahead, seconds, by index of the image after it."""
    found: dict[int, float] = {}
    begin = 0
    for index in np.flatnonzero(np.abs(np.diff(lag_s)) > _JUMP_S) + 1:
        before = lag_s[max(begin, index - _AROUND):index]
        after = lag_s[index:index + _AROUND]
        if min(len(before), len(after)) < _FEWEST_AROUND:
            continue
        # The smallest lag, since a recorder can be late and never early.
        ahead_s = float(before.min() - after.min())
        if abs(ahead_s) > _JUMP_S:
            found[int(index)] = ahead_s
            begin = index
    return found


def _jumps_in_words(jumps: dict[int, float], recorded_s: np.ndarray) -> str:
    index, most_s = max(jumps.items(), key=lambda x: abs(x[1]))
    times = 'once' if len(jumps) == 1 else f'{len(jumps)} times'
    most = 'by' if len(jumps) == 1 else 'by up to'
    return (f"the clock of the stamps of the images jumps {times} against the recorder's, "
            f'{most} {abs(most_s):.3f} s {"ahead" if most_s > 0 else "back"}, '
            f'{recorded_s[index]:.1f} s after the first image: outcomes and candidates that are '
            'stamped by another clock fit only before or after it')


def _drift(recorded_s: np.ndarray, lag_s: np.ndarray) -> list[str]:
    duration_s = recorded_s[-1]
    if len(lag_s) < _FEWEST or duration_s < _SHORTEST_S:
        return []
    parts = np.array_split(np.arange(len(lag_s)), _SEGMENTS)
    # The smallest lag of each, where the recorder was not late.
    least = np.array([part[np.argmin(lag_s[part])] for part in parts])
    slope, start = np.polyfit(recorded_s[least], lag_s[least], 1)
    off_s = np.abs(lag_s[least] - (start + slope * recorded_s[least])).max()
    total_s = abs(slope) * duration_s
    if total_s < _DRIFT_S or off_s > _EVEN * total_s:
        return []
    way = 'slower' if slope > 0 else 'faster'
    return [f"the clock of the stamps of the images runs {way} than the recorder's, by "
            f'{60e3 * abs(slope):.1f} ms a minute and {total_s:.3f} s over the recording: '
            'outcomes and candidates that are stamped by another clock fit less and less; '
            'synchronise the clocks, such as by chrony or PTP']


def other_cameras(recording: Recording, images: str) -> list[str]:
    """
    Compare the stamps of images on other topics with those of the images that are scored.

    :param recording: an open recording, of whose beginning some images are read.
    :param images: topic of the images that are scored.
    :returns: a line for each topic whose stamps are of another clock; empty if all are alike, or
        the recording is damaged.
    """
    topics = [x.name for x in recording.image_topics()]
    if len(topics) < 2 or images not in topics or recording.damage:
        return []
    lags = {name: array('d') for name in topics}
    for name, _, recorded_ns, raw in recording.messages(topics):
        try:
            stamp_ns, _ = header_of(raw)
        except BagError:
            continue
        if stamp_ns > 0:
            lags[name].append((recorded_ns - stamp_ns) / 1e9)
        if (recorded_ns - recording.start_ns > _LOOK_NS
                or min(map(len, lags.values())) >= _LOOKED_AT):
            break
    if not lags[images]:
        return []
    found = []
    for name, some in lags.items():
        behind_s = float(np.median(some) - np.median(lags[images])) if some else 0.0
        if abs(behind_s) > _APART_S:
            way = 'behind' if behind_s > 0 else 'ahead of'
            found.append(f'the stamps on {name} are {abs(behind_s):.3f} s {way} those on {images} '
                         'that were recorded at the same time (median): two clocks, or a late '
                         'camera; candidates that are made from its images need the stamps of '
                         f'{images}')
    return found
