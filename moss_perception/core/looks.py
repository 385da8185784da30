"""Doubtful pictures, which decode: almost black, constant, or depth taken for grey."""

from collections import deque

import numpy as np

DARK, CONSTANT, DEPTH, ALTERNATING = 'dark', 'constant', 'depth', 'alternating'
LOOKS = {
    DARK: 'almost black: expected light, an open lens cap and exposure',
    CONSTANT: 'of one colour: expected a camera that looks at something',
    DEPTH: 'grey with sharp holes of 0, like depth: expected the colour camera',
    ALTERNATING: 'like the picture before the last one and unlike the last one: expected one '
                 'camera on the topic',
}
"""What is doubtful about a picture, in words, by a short constant to count by."""

# About this many pixels a side are looked at.
_SIDE = 64
# 8-bit values. A dark picture of a working camera has noise and some light.
_DARK_PEAK, _DARK_SHARE, _DARK_MEAN = 24, 0.01, 6
_CONSTANT_SPAN = 2
# Views are compared at so many pixels a side; mean differences of 8-bit values, and their ratio.
_VIEW_SIDE, _VIEW_APART, _VIEW_RATIO = 16, 8.0, 3.0
_VIEWS, _VIEWS_APART = 20, 3
# Where a depth camera sees nothing, the value is exactly 0, and few values lie just above it.
_HOLES, _RIM, _RIM_SHARE = (0.03, 0.97), 12, 0.02


class Views:
    """
    Notices pictures of two cameras on one topic, which show two views in turn.

    Things that move make a picture less like those before the longer ago they are. A picture that
    is much more like the one before the last than like the last comes from another camera, or
    something flickered: the third such picture of twenty is the first that counts.
    """

    def __init__(self):
        self._before: deque[np.ndarray] = deque(maxlen=2)
        self._lately: deque[bool] = deque(maxlen=_VIEWS)

    def alternate(self, pixels: np.ndarray) -> bool:
        """
        Compare a picture with the two before it.

        :param pixels: uint8, RGB, shape ``(H, W, 3)``, the same for all.
        """
        step = max(min(pixels.shape[:2]) // _VIEW_SIDE, 1)
        view = pixels[::step, ::step].astype(np.int16)
        if self._before and self._before[0].shape != view.shape:
            self._before.clear()
        apart = [float(np.abs(view - one).mean()) for one in self._before]
        self._before.append(view)
        self._lately.append(
            len(apart) == 2 and apart[1] > max(_VIEW_APART, _VIEW_RATIO * apart[0]))
        return self._lately[-1] and sum(self._lately) >= _VIEWS_APART


def doubt(pixels: np.ndarray) -> str:
    """
    Look at a picture as far as that takes no time.

    :param pixels: uint8, RGB, shape ``(H, W, 3)``.
    :returns: one of the keys of ``LOOKS``; empty if there is nothing to say.
    """
    height, width, _ = pixels.shape
    few = pixels[::max(height // _SIDE, 1), ::max(width // _SIDE, 1)]
    # NumPy is several times faster on whole channels than on pixels.
    channels = [np.ascontiguousarray(few[..., index]) for index in range(3)]
    peak = max(int(one.max()) for one in channels)
    if all(int(one.max()) - int(one.min()) <= _CONSTANT_SPAN for one in channels):
        return DARK if peak < _DARK_PEAK else CONSTANT
    if all(np.array_equal(channels[0], one) for one in channels[1:]) and _has_holes(channels[0]):
        return DEPTH
    lit = max(np.count_nonzero(one >= _DARK_PEAK) for one in channels) / channels[0].size
    mean = sum(float(one.mean()) for one in channels) / 3
    return DARK if lit < _DARK_SHARE and mean < _DARK_MEAN else ''


def _has_holes(grey: np.ndarray) -> bool:
    """Tell whether many values are exactly 0 and hardly any lie just above it."""
    low, high = _HOLES
    holes = float((grey == 0).mean())
    rim = float(((grey > 0) & (grey < min(_RIM, int(grey.max()) // 3))).mean())
    return low <= holes <= high and rim <= _RIM_SHARE * holes
