"""Convert clips to a recording; each clip is one grasp attempt."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
import logging
from pathlib import Path

from moss_perception.core.errors import BagError, ClipError, ConfigError
from moss_perception.core.frames import Camera
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.data.clips.frames import (
    ClipFrame,
    ClipSpool,
    Disturbance,
    LONGEST_SIDE,
    read_frames,
)
from moss_perception.data.clips.inputs import check_shape, Clip, ClipRow

# As in recordings of the simulated cell.
_START_NS = 1_700_000_000 * 10**9
# The predictor's max_gap: only a longer pause resets its window between clips.
MAX_GAP_S = 0.5
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipSettings:
    """
    Settings for converting clips.

    :ivar domain: domain of clips without one in the CSV file.
    :ivar pause_s: pause between clips, seconds, longer than the predictor's gap.
    :ivar clip_hz: see :func:`moss_perception.data.clips.frames.read_frames`, also for
        ``rate_hz`` and ``side``.
    :ivar disturbance: jitter and drops.
    :ivar calibration: camera calibration, or ``None``.
    :ivar window_s: length of the model's window, seconds; only used to count earlier
        decisions.
    :raises ConfigError: if a value is not allowed.
    """

    domain: str = 'real'
    pause_s: float = 1.2
    clip_hz: float = 0.0
    rate_hz: float = 0.0
    side: int = LONGEST_SIDE
    disturbance: Disturbance = field(default_factory=Disturbance)
    calibration: Camera | None = None
    window_s: float = 0.0

    def __post_init__(self):
        if not MAX_GAP_S < self.pause_s <= 3600:
            raise ConfigError(f'pause of {self.pause_s} s: expected more than {MAX_GAP_S} s, the '
                              "predictor's max_gap, and at most 3600")
        for name in ('clip_hz', 'rate_hz'):
            value = getattr(self, name)
            if not (value == 0 or 0.1 <= value <= 1000):
                raise ConfigError(f'{name} of {value}: expected 0.1 to 1000 images a second')
        if not 32 <= self.side <= 4096:
            raise ConfigError(f'side of {self.side} pixels: expected 32 to 4096')


@dataclass
class Written:
    """
    The contents of a recording of clips.

    :ivar clips: number of clips.
    :ivar images: number of images.
    :ivar attempts: number of attempts with an outcome.
    :ivar successes: number of successes.
    :ivar guessed: number of attempts without a decision time, for which the end is used.
    :ivar early: names of clips with a decision before the model's window is full.
    :ivar dropped: number of dropped images.
    :ivar left_out: names of unusable clips.
    :ivar domains: number of attempts by domain.
    """

    clips: int = 0
    images: int = 0
    attempts: int = 0
    successes: int = 0
    guessed: int = 0
    dropped: int = 0
    early: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    domains: Counter = field(default_factory=Counter)


def write_bag(path: Path, clips: list[Clip], settings: ClipSettings,
              progress: Callable[[Iterable[Clip]], Iterable[Clip]] = iter) -> Written:
    """
    Write a recording of clips, as a whole or not at all.

    :param path: the rosbag2 (MCAP) to write.
    :param progress: wraps the clips, to show the progress.
    :raises BagError: if it can't be written, or no clip is usable.
    """
    topics = ['/image/compressed']
    if settings.calibration is not None:
        topics.append('/camera_info')
    if any(clip.row for clip in clips):
        topics.append('/grasp_outcome')
    disturbance = settings.disturbance
    notes = {'source': 'video clips', 'domain': disturbance.label(settings.domain),
             'jitter_s': f'{disturbance.jitter_s:g}', 'drops': f'{disturbance.drops:g}',
             'seed': str(disturbance.seed)}
    with RecordingWriter(path, topics=topics, source='clips', notes=notes) as writer:
        sequence = _Sequence(writer, settings)
        for clip in progress(clips):
            sequence.add(clip)
        if not sequence.done.clips:
            raise BagError(f'none of the {len(clips)} clips could be used: nothing was written')
    return sequence.done


class _Sequence:
    """Writes clips one after another."""

    def __init__(self, writer: RecordingWriter, settings: ClipSettings):
        self.done = Written()
        self._writer = writer
        self._settings = settings
        self._next_ns = _START_NS

    def add(self, clip: Clip) -> None:
        """Write a clip, or log why it is left out."""
        settings = self._settings
        with ClipSpool(self._writer.path.parent) as spool:
            try:
                spool.fill(read_frames(clip.path, clip_hz=settings.clip_hz,
                                       rate_hz=settings.rate_hz, side=settings.side))
                if settings.calibration is not None:
                    check_shape(settings.calibration, *spool.filmed)
                times = clip.row and _times(clip.row, spool)
            except ClipError as error:
                _LOG.warning('left out: %s: %s', clip.name, error)
                self.done.left_out.append(clip.name)
                return
            self._write(clip, spool, times)

    def _write(self, clip: Clip, spool: ClipSpool, times: tuple[int, int, int] | None) -> None:
        start_ns, due, images = self._next_ns, times, 0
        for time_ns, frame in self._settings.disturbance.apply(spool.frames(), clip.name):
            if due and time_ns > due[2]:
                self._outcome(clip, due)
                due = None
            self._image(start_ns + time_ns, frame)
            images += 1
        if due:
            self._outcome(clip, due)
        self.done.clips += 1
        self.done.images += images
        self.done.dropped += spool.count - images
        end_ns = max(spool.last_ns, times[2] if times else 0)
        self._next_ns = start_ns + end_ns + round(self._settings.pause_s * 1e9)

    def _image(self, stamp_ns: int, frame: ClipFrame) -> None:
        calibration = self._settings.calibration
        if calibration is not None:
            camera = calibration.scaled(*frame.size)
            self._writer.camera_info(stamp_ns, camera.width, camera.height, camera.matrix,
                                     camera.distortion, camera.model)
        self._writer.image(stamp_ns, frame.jpeg)

    def _outcome(self, clip: Clip, times: tuple[int, int, int]) -> None:
        row, done = clip.row, self.done
        assert row is not None  # which the times are of
        domain = self._settings.disturbance.label(row.domain or self._settings.domain)
        done.attempts += 1
        done.successes += row.success
        done.guessed += row.decision_ns is None
        done.domains[domain] += 1
        if times[1] < self._settings.window_s * 1e9:
            done.early.append(clip.name)
        start_ns, decision_ns, end_ns = (self._next_ns + time for time in times)
        self._writer.outcome(
            f'{"success" if row.success else "failure"}, clip {clip.name}', attempt=done.attempts,
            start_ns=start_ns, decision_ns=decision_ns, end_ns=end_ns, success=row.success,
            domain=domain, motion='', object=row.object,
            decision_guessed=row.decision_ns is None)


def _times(row: ClipRow, spool: ClipSpool) -> tuple[int, int, int]:
    """
    Return start, decision and end of the attempt, nanoseconds since the first image.

    :raises ClipError: if one of them is after the clip's end.
    """
    start_ns = row.start_ns or 0
    end_ns = row.end_ns
    if end_ns is None:
        end_ns = max(spool.last_ns, start_ns, row.decision_ns or 0)
    decision_ns = end_ns if row.decision_ns is None else row.decision_ns
    # Users may give the clip's duration as its end, one image period after the last image.
    period_ns = spool.last_ns / max(spool.count - 1, 1)
    for name, time_ns in (('start', start_ns), ('decision', decision_ns), ('end', end_ns)):
        if time_ns > spool.last_ns + period_ns + 1:
            raise ClipError(f'its {name} is at {time_ns / 1e9:g} s, expected at most '
                            f'{spool.last_ns / 1e9:g} s, the time of its last image')
    return start_ns, decision_ns, end_ns
