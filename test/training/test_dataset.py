"""Samples become clips: decoded or not, with lost frames, and ending during a grasp."""

from dataclasses import replace

import cv2
from moss_perception.core.errors import ConfigError, ShapeError
from moss_perception.data.scenes import in_view
from moss_perception.data.schema import Attempt, Sample
from moss_perception.models.moss_grasp import MossGraspConfig
from moss_perception.training.dataset import GraspClips
from moss_perception.training.decoding import decode_clips
import numpy as np
import pytest
from tiny import as_model

MATRIX = np.array([[48.0, 0, 15.5], [0, 48, 15.5], [0, 0, 1]])
TINY = MossGraspConfig(image_size=32, channels=(4, 4, 8), moss_window=(5, 3, 3), moss_channels=4,
                   projection_channels=4, head_channels=8, ensemble=2)
PERIOD_NS = 100_000_000


def grey(level: int) -> bytes:
    return cv2.imencode('.jpg', np.full((32, 32, 3), level, np.uint8))[1].tobytes()


def scene(held: bool = True, watched: int = 5) -> Sample:
    """Make a scene whose n-th frame, those of the grasp included, has the grey level 5 n."""
    candidates = np.float32([[0.05, 0.02, 0.6, 0.1], [-0.08, 0.03, 0.55, 1.0]])
    attempt = Attempt(
        1, held, tuple(grey(5 * n) for n in range(20, 20 + watched)),
        np.arange(20, 20 + watched) * PERIOD_NS, ('close',) * watched,
        np.full(watched, np.nan, np.float32), np.tile(np.float32([0, 0, 0.6]), (watched, 1)))
    return Sample(
        seed=1, jpegs=tuple(grey(5 * n) for n in range(20)), candidates=candidates,
        labels=np.array([not held, held]), speed=0.0, motion='still', shape='box',
        track=candidates[:, :3], matrix=MATRIX, attempt=attempt if watched else None)


def levels(images) -> list:
    """Return the numbers of the frames that a clip consists of."""
    return [round(float(image.float().mean()) / 5) for image in images]


def test_watched_grasps_become_clips_of_one_candidate():
    data = GraspClips([scene(), scene(watched=0), scene(held=False)], TINY, monitor=1.0)
    assert len(data) == 5
    assert [len(data[n][2]) for n in range(5)] == [2, 2, 2, 1, 1]
    assert [data[n][2].tolist() for n in (3, 4)] == [[1.0], [0.0]]
    assert len(GraspClips(data.samples, TINY)) == 3
    for item, kept in ((3, scene()), (4, scene(held=False))):
        np.testing.assert_array_equal(data[item][1][0], data[0][1][1])
        assert 20 <= levels(data[item][0])[-1] < 20 + len(kept.attempt.jpegs)


def test_watched_clips_end_at_another_frame_each_epoch():
    data = GraspClips([scene()], TINY, monitor=1.0)
    ends = set()
    for data.epoch in range(20):
        shown = levels(data[1][0])
        assert shown == list(range(shown[-1] - 15, shown[-1] + 1))
        ends.add(shown[-1])
    assert ends == {20, 21, 22, 23, 24}


def test_watched_grasps_take_turns():
    data = GraspClips([scene(), scene(held=False), scene(), scene(held=False)], TINY, monitor=0.5)
    assert len(data) == 6
    seen = []
    for data.epoch in range(2):
        seen += [data[n][2].item() for n in (4, 5)]
    # Each of the four once in two epochs, in their order.
    assert seen == [1.0, 0.0, 1.0, 0.0]


def test_lost_frames_are_repeated_as_on_the_robot():
    whole = scene(watched=0)
    kept = [n for n in range(20) if n not in (8, 9, 17)]
    lossy = replace(whole, jpegs=tuple(whole.jpegs[n] for n in kept),
                    stamps_ns=np.array(kept) * PERIOD_NS)
    assert levels(GraspClips([lossy], TINY)[0][0]) == [
        4, 5, 6, 7, 7, 7, 10, 11, 12, 13, 14, 15, 16, 16, 18, 19]


def test_scenes_with_candidates_outside_the_image_are_counted(caplog):
    outside = scene(watched=0)
    outside.candidates[0, 0] = 5.0
    assert len(in_view([scene(), outside, scene(), scene()], limit=2)) == 2
    assert '1 of 3 scenes have candidates outside the image' in caplog.text


@pytest.mark.parametrize('limit', [1 << 30, 1])
def test_decoded_scenes_train_as_recorded_ones(scenes, tmp_path, limit):
    decoded = decode_clips(scenes, TINY, file=tmp_path / 'frames.npy', limit=limit)
    assert (tmp_path / 'frames.npy').exists() == (limit == 1)
    for one, other in zip(GraspClips(scenes, TINY), GraspClips(scenes, TINY, decoded),
                          strict=True):
        assert (one[0] == other[0]).all()
        for kept, expected in zip(other[1:5], one[1:5], strict=True):
            # The candidates are projected into the fitted image, not fitted after.
            np.testing.assert_allclose(kept, expected, atol=1e-5)
    assert (decoded.cameras[3].width, decoded.cameras[3].height) == (32, 32)


def test_what_cannot_be_decoded_is_refused(scenes):
    with pytest.raises(ConfigError, match='expected at most 10, or a file'):
        decode_clips(scenes, TINY, limit=10)
    with pytest.raises(ShapeError):
        decode_clips(scenes, MossGraspConfig(window_frames=24))


def test_what_sees_one_frame_is_given_one(scenes):
    for decoded in (None, decode_clips(scenes, TINY)):
        one = GraspClips(scenes, as_model(TINY, 'last_grasp'), decoded)[3][0]
        window = GraspClips(scenes, TINY, decoded)[3][0]
        assert len(window) == TINY.window_frames
        np.testing.assert_array_equal(one, window[-1:])
