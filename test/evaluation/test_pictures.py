"""Pictures of a run without a recording: few, and those that the report will want."""

from dataclasses import replace

from moss_perception.core.image_messages import CompressedImage, RawImage
from moss_perception.core.images import decode
from moss_perception.evaluation.pictures import Pictures, to_jpeg
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.evaluation.shown import choose, stamps_of, stamps_shown
import numpy as np
import pytest

SIDE = 16


def image_of(stamp_ns):
    """Return an image that is unlike those of other stamps."""
    return np.random.default_rng(stamp_ns).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def message_of(stamp_ns):
    return RawImage.from_rgb(image_of(stamp_ns))


def rounded(attempt, steps, generator):
    """Let many attempts be equally good, and some have no score or no grasp."""
    odd = generator.random()
    return replace(attempt, score=np.nan if odd < 0.1 else round(attempt.score * steps) / steps,
                   uncertainty=round(attempt.uncertainty * steps) / steps, executed=odd < 0.9)


@pytest.mark.parametrize('steps', [3, 20, 10**6])
@pytest.mark.parametrize('spread', [True, False])
def test_of_a_long_run_exactly_what_the_report_chooses_is_kept(made_up, steps, spread):
    generator = np.random.default_rng(steps)
    attempts = [rounded(x, steps, generator) for x in made_up.make_bag('sim', 120).attempts]
    if not spread:
        attempts = [replace(x, uncertainty=np.nan) for x in attempts]
    pictures = Pictures(undecided=4, recent=50)
    for number, attempt in enumerate(attempts, start=1):
        for stamp_ns in stamps_of(attempt).tolist():
            pictures.see(stamp_ns, message_of(stamp_ns))
            pictures.decide(stamp_ns, 'scored')
        pictures.finish(attempt)
        shown = [attempts[x.index] for x in choose(attempts[:number])]
        wanted = {stamp_ns for one in shown for stamp_ns in stamps_shown(one)}
        assert pictures.kept.keys() == wanted
        assert len(wanted) <= 18 and pictures.count <= 4 + 50 + 18
    assert len(shown) == 3
    assert all(pictures.kept[x] == to_jpeg(image_of(x)) for x in wanted)


def attempt_at(*stamps_ns):
    end_ns = stamps_ns[-1]
    return AttemptRecord(1, stamps_ns[0], end_ns, end_ns, True, scored_ns=end_ns, score=0.5,
                         times_s=(np.array(stamps_ns) - end_ns) / 1e9,
                         scores=np.full(len(stamps_ns), 0.5))


def test_a_fate_may_be_heard_before_its_frame():
    pictures = Pictures()
    pictures.decide(10, 'scored')
    pictures.see(10, message_of(10))
    pictures.see(20, message_of(20))
    pictures.decide(20, 'scored')
    pictures.finish(attempt_at(10, 20))
    assert pictures.kept == {x: to_jpeg(image_of(x)) for x in (10, 20)}


def test_what_was_not_scored_or_comes_too_late_is_not_held():
    pictures = Pictures(undecided=3, recent=2)
    for stamp_ns in range(10, 100, 10):
        pictures.see(stamp_ns, message_of(stamp_ns))
    assert pictures.count == 3
    pictures.decide(80, 'skipped')
    assert pictures.count == 2
    for stamp_ns in (70, 90, 100, 110):
        pictures.see(stamp_ns, message_of(stamp_ns))
        pictures.decide(stamp_ns, 'scored')
    assert pictures.count == 2
    pictures.finish(attempt_at(10, 80, 90, 110))
    # Of the oldest there is nothing any more, which is no reason to show nothing.
    assert pictures.kept.keys() == {110}


def test_a_frame_that_cannot_be_decoded_is_left_out():
    pictures = Pictures()
    for stamp_ns, message in ((10, CompressedImage(b'no image')), (20, message_of(20))):
        pictures.see(stamp_ns, message)
        pictures.decide(stamp_ns, 'scored')
    pictures.finish(attempt_at(10, 20))
    assert pictures.kept.keys() == {20}


def test_pictures_are_small_and_look_like_the_frame():
    rows, columns = np.mgrid[:480, :640]
    frame = np.stack([rows / 2, columns / 3, (rows + columns) / 5], axis=2).astype(np.uint8)
    found = decode(CompressedImage(to_jpeg(frame)))
    assert found.shape == (240, 320, 3)
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
