"""Pictures for pages are small, and show the frames that a film strip needs."""

from dataclasses import replace

from moss_perception.core.image_messages import CompressedImage
from moss_perception.core.images import decode
from moss_perception.evaluation.pictures import stamps_shown, to_jpeg
from moss_perception.evaluation.records import AttemptRecord
import numpy as np


def attempt_at(*stamps_ns):
    end_ns = stamps_ns[-1]
    return AttemptRecord(1, stamps_ns[0], end_ns, end_ns, True, scored_ns=end_ns, score=0.5,
                         times_s=(np.array(stamps_ns) - end_ns) / 1e9,
                         scores=np.full(len(stamps_ns), 0.5))


def test_pictures_are_small_and_look_like_the_frame():
    rows, columns = np.mgrid[:960, :1280]
    frame = np.stack([rows / 4, columns / 6, (rows + columns) / 10], axis=2).astype(np.uint8)
    found = decode(CompressedImage(to_jpeg(frame)))
    assert found.shape == (480, 640, 3)
    assert np.abs(found.astype(int) - frame[::2, ::2]).max() < 8
    assert decode(CompressedImage(to_jpeg(frame[:100, :200]))).shape == (100, 200, 3)


def test_frames_without_a_score_are_shown_where_few_have_one():
    many = attempt_at(*range(10, 1000, 10))
    assert len(stamps_shown(many)) == 6
    scores = np.full(99, np.nan)
    scores[40:50] = 0.5
    some = replace(many, scores=scores)
    assert set(stamps_shown(some)) <= set(range(410, 510, 10))
    few = replace(many, scores=np.where(np.arange(99) == 60, 0.5, np.nan), scored_ns=610)
    shown = stamps_shown(few)
    assert len(shown) == 6 and 610 in shown and (shown[0], shown[-1]) == (10, 990)
