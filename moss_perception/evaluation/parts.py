"""Split a recording into parts that several processes evaluate, and merge their records."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from moss_perception.core.errors import FrameError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import stamp_of
from moss_perception.evaluation import findings
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.models.config import ModelConfig
from moss_perception.runtime.window import Sampler
import numpy as np

# Windows to step before the first image that counts. One would do, but a change of the camera's
# frame, which only shows in the messages, may shift the samples by one.
_WARM_UP = 2


@dataclass(frozen=True)
class Part:
    """
    The images that one process scores, by their number in the recording.

    A score depends on the last window only, so a part starts a little before its first image.

    :ivar warm_up: the first image to decode and step; its scores belong to another part.
    :ivar first: the first image of this part.
    :ivar end: the first image after this part.
    """

    warm_up: int
    first: int
    end: int

    def steps(self, image: int) -> bool:
        """Return whether an image is decoded and stepped."""
        return self.warm_up <= image < self.end

    def owns(self, image: int) -> bool:
        """Return whether an image belongs to this part."""
        return self.first <= image < self.end


def split(path: Path | str, image_topic: str, config: ModelConfig, count: int) -> list[Part]:
    """
    Split a recording's images into parts of about equal length.

    :param path: path of the recording.
    :param config: configuration of the checkpoint, for its rate and window.
    :param count: number of parts; a short recording gets fewer.
    :raises BagError: if the recording can't be read.
    """
    sampler, samples = Sampler(config.frame_rate_hz), []
    with Recording(path, salvage=True) as recording:
        for image, (_, _, _, raw) in enumerate(recording.messages([image_topic])):
            # A frame with a refused stamp is not a sample.
            with suppress(FrameError):
                if sampler.admit(stamp_of(raw), '').index is not None:
                    samples.append(image)
    window = _WARM_UP * config.window_frames
    count = max(1, min(count, len(samples) // (2 * window)))
    cuts = [len(samples) * n // count for n in range(count)]
    firsts = [samples[cut] if cut else 0 for cut in cuts] if samples else [0]
    warm_ups = [samples[max(cut - window, 0)] if cut else 0 for cut in cuts] if samples else [0]
    # The last part is open-ended: a damaged recording may yield more images the next time.
    return [Part(warm_up, first, end) for warm_up, first, end in zip(
        warm_ups, firsts, [*firsts[1:], 2**62], strict=True)]


def merge(parts: Sequence[BagRecord]) -> BagRecord:
    """
    Merge the records of the parts of a recording.

    :param parts: records in order.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    attempts = tuple(_merge(same) for same in zip(*(part.attempts for part in parts), strict=True))
    summed = {name: dict(sum((Counter(getattr(part, name)) for part in parts), Counter()))
              for name in ('refused', 'resets')}
    # A part may report scores as too old although the next part has newer ones.
    early = findings.of_attempts(first.attempts)
    return replace(
        first, **summed, attempts=attempts,
        notes=(*(x for x in first.notes if x not in early), *findings.of_attempts(attempts)),
        frames=sum(part.frames for part in parts),
        fates={kind: sum(part.fates[kind] for part in parts) for kind in first.fates},
        missing=sum(part.missing for part in parts),
        not_arrived=sum(part.not_arrived for part in parts),
        elapsed_s=max(part.elapsed_s for part in parts),
        decode_ms=np.concatenate([part.decode_ms for part in parts]),
        inference_ms=np.concatenate([part.inference_ms for part in parts]))


def _merge(same: Sequence[AttemptRecord]) -> AttemptRecord:
    # The newest scores at or before the decision count, in whichever part they are.
    newest = max(same, key=lambda one: -1 if one.scored_ns is None else one.scored_ns)
    return replace(newest, times_s=np.concatenate([one.times_s for one in same]),
                   scores=np.concatenate([one.scores for one in same]))
