"""Questions that can be checked on real clips: the direction and the speed of time."""

from collections.abc import Sequence
from dataclasses import dataclass
import logging
from pathlib import Path

from moss_perception.core.errors import ConfigError
import numpy as np

from study.object_motion import RATE_HZ
from study.questions.asking import about_time, Item
from study.video.clips import Clip, load_clips, read_table
from study.video.tasks import LENGTH

log = logging.getLogger('questions')
TOO_SHORT = 'too short to be played at double speed'


@dataclass(frozen=True)
class RealClip:
    """A clip as :class:`study.questions.asking.Footage`."""

    clip: Clip

    @property
    def group(self) -> str:
        """Of the clip."""
        return self.clip.group

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def pixels(self) -> np.ndarray:
        """All frames, uint8, RGB, shape ``(T, S, S, 3)``."""
        assert self.clip.frames is not None  # clips are loaded before
        return self.clip.frames

    def frames(self, places: Sequence[int], size: int) -> np.ndarray:
        """
        Return some frames.

        :param size: their side, pixels; that at which the clip was loaded.
        """
        assert self.pixels.shape[1] == size
        return self.pixels[list(places)]


def load_real(folder: Path, table: Path, cache: Path,
              size: int) -> tuple[list[RealClip], dict[str, int]]:
    """
    Load the clips of a table that are long enough.

    :returns: the clips, and by reason how many are left out.
    :raises ConfigError: if none can be used.
    """
    clips, skipped = load_clips(folder, read_table(table), cache, size, LENGTH)
    left_out = {why: len(names) for why, names in skipped.items()}
    used = [one for one in map(RealClip, clips) if len(one) >= _span(one.clip, 2)]
    if len(used) < len(clips):
        left_out[TOO_SHORT] = len(clips) - len(used)
        log.warning('%d clips are left out: %s', left_out[TOO_SHORT], TOO_SHORT)
    if not used:
        raise ConfigError(f'{folder}: all {len(clips)} clips are {TOO_SHORT}')
    return used, left_out


def real_items(clips: Sequence[RealClip]) -> list[Item]:
    """Ask about the middle of each clip: twice its direction, and twice its speed."""
    found = []
    for n, one in enumerate(clips):
        # Both speeds end together, and the fast one lies in the middle.
        end = (len(one) + _span(one.clip, 2)) // 2
        places = tuple(range(end - _span(one.clip, 1), end, _step(one.clip)))
        found += about_time(n, places, end)
    return found


def _step(clip: Clip) -> int:
    """Return frames from one image to the next: 10 Hz, as in the scenes of training."""
    return max(1, round(clip.rate_hz / RATE_HZ))


def _span(clip: Clip, speed: int) -> int:
    return (LENGTH - 1) * _step(clip) * speed + 1
