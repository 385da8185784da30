"""One recording, evaluated by several: who scores which images, and how it becomes one again."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from moss_perception.core.errors import FrameError
from moss_perception.data.bags.headers import stamp_of
from moss_perception.data.bags.reader import Recording
from moss_perception.evaluation import findings
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.models.config import ModelConfig
from moss_perception.runtime.window import Sampler
import numpy as np

# So many windows are stepped before the first image that counts: a change of the camera's frame,
# which only the messages tell, may move the samples by one.
_WARM_UP = 2


@dataclass(frozen=True)
class Share:
    """
    The images that one of several scores, by their number in the recording.

    A score depends on the last window alone, so that each can begin a little before its own.

    :ivar warm_up: the first that is decoded and stepped; its scores are another's.
    :ivar first: the first that counts.
    :ivar end: the first that no longer does.
    """

    warm_up: int
    first: int
    end: int

    def steps(self, image: int) -> bool:
        """Tell whether an image is to be decoded and stepped."""
        return self.warm_up <= image < self.end

    def owns(self, image: int) -> bool:
        """Tell whether what becomes of an image counts here."""
        return self.first <= image < self.end


def share_out(path: Path | str, image_topic: str, config: ModelConfig, count: int) -> list[Share]:
    """
    Divide a recording's images into shares of about equal length.

    :param path: of the recording.
    :param config: of the checkpoint: its rate and window.
    :param count: of shares; fewer where there is too little to share.
    :raises BagError: if the recording can't be read.
    """
    sampler, samples = Sampler(config.frame_rate_hz), []
    with Recording(path, salvage=True) as recording:
        for image, (_, _, _, raw) in enumerate(recording.messages([image_topic])):
            # A stamp that is refused makes no sample.
            with suppress(FrameError):
                if sampler.admit(stamp_of(raw), '').index is not None:
                    samples.append(image)
    window = _WARM_UP * config.window_frames
    count = max(1, min(count, len(samples) // (2 * window)))
    cuts = [len(samples) * n // count for n in range(count)]
    firsts = [samples[cut] if cut else 0 for cut in cuts] if samples else [0]
    warm_ups = [samples[max(cut - window, 0)] if cut else 0 for cut in cuts] if samples else [0]
    # The last also takes what a recording gives beyond what it gave now.
    return [Share(warm_up, first, end) for warm_up, first, end in zip(
        warm_ups, firsts, [*firsts[1:], 2**62], strict=True)]


def join(parts: Sequence[BagRecord]) -> BagRecord:
    """
    Make one record of the shares' records.

    :param parts: of one recording, in the order of their shares.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    attempts = tuple(_join(same) for same in zip(*(part.attempts for part in parts), strict=True))
    summed = {name: dict(sum((Counter(getattr(part, name)) for part in parts), Counter()))
              for name in ('refused', 'resets')}
    # The next share may have newer scores, so what a share alone says of them may not hold.
    early = findings.of_scores(first.attempts)
    return replace(
        first, **summed, attempts=attempts,
        notes=(*(x for x in first.notes if x not in early), *findings.of_scores(attempts)),
        frames=sum(part.frames for part in parts),
        fates={kind: sum(part.fates[kind] for part in parts) for kind in first.fates},
        missing=sum(part.missing for part in parts),
        not_arrived=sum(part.not_arrived for part in parts),
        elapsed_s=max(part.elapsed_s for part in parts),
        decode_ms=np.concatenate([part.decode_ms for part in parts]),
        inference_ms=np.concatenate([part.inference_ms for part in parts]))


def _join(same: Sequence[AttemptRecord]) -> AttemptRecord:
    # The newest scores at or before the decision count, whoever has them.
    newest = max(same, key=lambda one: -1 if one.scored_ns is None else one.scored_ns)
    return replace(newest, times_s=np.concatenate([one.times_s for one in same]),
                   scores=np.concatenate([one.scores for one in same]))
