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
from study.video.tasks import LENGTH, step_of

log = logging.getLogger('questions')
TOO_SHORT = 'too short'
NO_SPEED = 'too short to be played at double speed: asked about their direction only'


@dataclass(frozen=True)
class RealClip:
    """A clip as :class:`study.questions.asking.Footage`."""

    clip: Clip

    @property
    def group(self) -> str:
        """Of the clip."""
        return self.clip.group

    @property
    def digest(self) -> str:
        """Of the file."""
        return self.clip.digest

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
    Load the clips of a table that are long enough to be asked about their direction.

    :returns: the clips, and by reason how many are left out, or are not asked about their speed.
    :raises ConfigError: if none can be used.
    """
    clips, skipped = load_clips(folder, read_table(table), cache, size, lambda _: LENGTH)
    counts = {why: len(names) for why, names in skipped.items()}
    used = [one for one in map(RealClip, clips) if len(one) >= _span(one.clip, 1)]
    short = sum(len(one) < _span(one.clip, 2) for one in used)
    for why, count in ((TOO_SHORT, len(clips) - len(used)), (NO_SPEED, short)):
        if count:
            counts[why] = count
            log.warning('%d clips are %s', count, why)
    if not used:
        raise ConfigError(f'{folder}: all {len(clips)} clips are {TOO_SHORT}')
    return used, counts


def real_items(clips: Sequence[RealClip]) -> list[Item]:
    """Ask about the middle of each clip: twice its direction, and twice its speed if it can be."""
    found = []
    for n, one in enumerate(clips):
        normal, double = (_span(one.clip, speed) for speed in (1, 2))
        fast = len(one) >= double
        # Both speeds end together, and the longest that is asked about lies in the middle.
        end = (len(one) + (double if fast else normal)) // 2
        places = tuple(range(end - normal, end, _step(one.clip)))
        found += (item for item in about_time(n, places, end) if fast or item.kind == 'arrow')
    return found


def _step(clip: Clip) -> int:
    """Return frames from one image to the next: 10 Hz, as in the scenes of training."""
    return step_of(clip.rate_hz, RATE_HZ)


def _span(clip: Clip, speed: int) -> int:
    return (LENGTH - 1) * _step(clip) * speed + 1
