"""Properties of the pure parts, on values that Hypothesis generates."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from label_tables import read_attempts
from moss_perception.core.errors import BagError, ConfigError, FrameError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import letterbox, project, unproject
from moss_perception.core.scores import ScoreReason
from moss_perception.core.stamps import StampCheck
from moss_perception.core.transforms import parse_transform
from moss_perception.data.outcomes import ns_to_seconds, seconds_to_ns
from moss_perception.runtime.sampling import Sampler
import numpy as np
import pytest

# The same values in each run, and no database: a failure is the same everywhere.
quick = settings(max_examples=60, derandomize=True, deadline=None, database=None)
reals = st.floats(allow_nan=True, allow_infinity=True)
stamps = st.integers(1, 2**62)
small = st.floats(-0.05, 0.05)


@st.composite
def cameras(draw):
    """Draw a camera with a mild lens, as a calibration gives it."""
    width, height = draw(st.integers(32, 2000)), draw(st.integers(32, 2000))
    focal = draw(st.floats(0.5, 3.0)) * max(width, height)
    matrix = np.array([[focal, 0, width / 2], [0, focal * draw(st.floats(0.8, 1.25)), height / 2],
                       [0, 0, 1]])
    model = draw(st.sampled_from(['plumb_bob', 'equidistant']))
    lens = draw(st.lists(small, min_size=4, max_size=4))
    return Camera(width, height, matrix, np.array(lens), model)


@quick
@given(cameras(), st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0.1, 10.0))
def test_what_is_projected_is_found_again(camera, across, down, depth):
    pixel = np.array([[across * camera.width, down * camera.height]])
    ray = unproject(pixel, camera)
    if np.isnan(ray).any():
        return
    point = np.append(ray[0], 1.0)[None] * depth
    again, reasons = project(point, camera)
    assert reasons[0] == ScoreReason.SCORED
    np.testing.assert_allclose(again, pixel, atol=1e-3)


@quick
@given(cameras(), st.lists(st.tuples(reals, reals, reals), min_size=1, max_size=8))
@example(Camera(32, 32, np.array([[32.0, 0, 16], [0, 32, 16], [0, 0, 1]]),
                np.array([0, 0, 0, 5e-324]), 'equidistant'), [(0.0, 0.0, 1.0)])
def test_any_point_has_a_pixel_in_the_image_or_a_reason(camera, points):
    pixels, reasons = project(np.array(points, float), camera)
    seen = reasons == ScoreReason.SCORED
    assert np.isnan(pixels[~seen]).all()
    assert (pixels[seen] >= -0.5).all()
    assert (pixels[seen] < (camera.width - 0.5, camera.height - 0.5)).all()


@quick
@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 128))
def test_a_letterbox_keeps_the_corners_in_the_square(height, width, side):
    square, (scale, x, y) = letterbox(np.zeros((height, width, 3), np.uint8), side)
    assert square.shape == (side, side, 3)
    for column, row in ((-0.5, -0.5), (width - 0.5, height - 0.5)):
        # The borders of pixels, which rounding moves by at most a pixel.
        assert -1.5 <= column * scale + x <= side + 0.5
        assert -1.5 <= row * scale + y <= side + 0.5


@quick
@given(st.lists(st.tuples(st.integers(-5, 2**62), st.sampled_from('ab')), max_size=60),
       st.floats(0.5, 100))
def test_samples_rise_within_an_epoch_and_epochs_never_fall(frames, rate_hz):
    sampler, newest, epoch = Sampler(rate_hz), -1, 0
    for stamp_ns, frame_id in frames:
        try:
            found = sampler.admit(stamp_ns, frame_id)
        except FrameError:
            assert stamp_ns <= 0
            continue
        assert found.epoch == epoch + (found.reset_reason is not None)
        newest = -1 if found.epoch > epoch else newest
        epoch = found.epoch
        if found.index is not None:
            assert found.index > newest
            newest = found.index


@quick
@given(stamps, st.integers(2, 40), st.floats(5, 60))
def test_a_steady_camera_faster_than_the_model_gives_every_sample(first_ns, count, rate_hz):
    sampler, period_ns = Sampler(5.0), round(1e9 / rate_hz)
    found = [sampler.admit(first_ns + k * period_ns, 'camera').index for k in range(count)]
    kept = [x for x in found if x is not None]
    assert kept == list(range(len(kept)))


@quick
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2**62)), max_size=60))
def test_stamps_of_any_order_are_compared_without_an_error(arrivals):
    check = StampCheck()
    for of_image, stamp_ns in arrivals:
        (check.image if of_image else check.candidates)(stamp_ns)
        assert all(isinstance(x, str) and '\n' not in x for x in (*check.apart(), *check.lines()))


@quick
@given(st.integers(0, 2**62))
def test_seconds_in_text_keep_every_nanosecond(stamp_ns):
    assert seconds_to_ns(ns_to_seconds(stamp_ns)) == stamp_ns


@quick
@given(st.text(max_size=40))
def test_seconds_in_any_text_are_a_number_or_refused(text):
    try:
        assert isinstance(seconds_to_ns(text), int)
    except ValueError:
        return


@quick
@given(st.one_of(st.text(max_size=60), st.lists(reals, max_size=9), st.none(), reals))
def test_a_transform_is_a_unit_quaternion_or_refused(value):
    try:
        found = parse_transform(value)
    except ConfigError as error:
        assert '\n' not in str(error)
        return
    if found is not None:
        assert np.isclose(np.linalg.norm(found.quaternion), 1.0)


CELLS = st.one_of(st.sampled_from(['1.5', '2', 'true', 'no', '', 'inf', 'nan', '-1', '1e300',
                                   '2026-01-02T03:04:05Z', '=1+1', '"', '\x00', '\u202e']),
                  st.text(max_size=12))


@settings(quick, max_examples=120)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=5), max_size=6),
       st.lists(st.sampled_from(['start', 'end', 'success', 'decision', 'candidate', 'lead_time',
                                 'object', 'nonsense']), min_size=1, max_size=6))
@pytest.mark.filterwarnings('ignore')
def test_a_table_is_read_or_refused_in_one_line(tmp_path_factory, rows, headings):
    path = tmp_path_factory.mktemp('tables') / 'outcomes.csv'
    lines = [','.join(headings), *(','.join(row) for row in rows)]
    path.write_text('\n'.join(lines), encoding='utf-8')
    try:
        found = read_attempts(path)
    except BagError as error:
        assert '\n' not in str(error)
        return
    assert all(x.start_ns <= x.decision_ns <= x.end_ns for x in found)
