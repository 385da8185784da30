"""The image sensor, against hand-computed values, and textures against photographs' statistics."""

import cv2
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import BELT, CELLS
from moss_perception.simulation.equipment import HEIGHT
from moss_perception.simulation.look import Look
from moss_perception.simulation.scene import sample_scene
from moss_perception.simulation.sensor import develop, expose, frame_times, Sensor
from moss_perception.simulation.textures import belt_texture, photographic
import numpy as np
import pytest

GREY = np.full((64, 64, 3), 100, np.float32)


def test_a_sensor_without_exposure_takes_one_picture_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, 4, 3), np.uint8)
    assert Sensor().instants.tolist() == [0]
    light = expose([picture], Sensor())
    np.testing.assert_array_equal(develop(light, Look(), Sensor(), np.random.default_rng(0)),
                                  picture)


def test_exposure_averages_all_rows_alike():
    sensor = Sensor(exposure_s=0.04)
    np.testing.assert_allclose(sensor.instants, [-0.035, -0.025, -0.015, -0.005])
    np.testing.assert_allclose(sensor.row_weights(HEIGHT), 0.25, atol=1e-6)


def test_rolling_shutter_reads_the_first_row_first():
    weights = Sensor(readout_s=0.04).row_weights(HEIGHT)
    np.testing.assert_array_equal(weights[0], [1, 0, 0, 0])
    np.testing.assert_array_equal(weights[-1], [0, 0, 0, 1])
    np.testing.assert_array_equal(weights.argmax(axis=1), np.sort(weights.argmax(axis=1)))
    pictures = [np.full((HEIGHT, 2, 3), level, np.uint8) for level in (0, 60, 120, 180)]
    light = expose(pictures, Sensor(readout_s=0.04))
    assert light[0].max() == 0
    assert light[-1].min() == 180
    np.testing.assert_allclose(light[HEIGHT // 2], 120)


def test_with_both_each_row_collects_its_own_part_of_the_time():
    weights = Sensor(exposure_s=0.02, readout_s=0.02).row_weights(HEIGHT)
    np.testing.assert_allclose(weights[0], [0.5, 0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(weights[-1], [0, 0, 0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)


def test_gain_gamma_and_saturation_make_the_tone():
    def one(**tone):
        light = np.full((1, 1, 3), (40, 80, 120), np.float32)
        return develop(light, Look(), Sensor(**tone), np.random.default_rng(0))[0, 0].tolist()
    assert one(gain=1.5) == [60, 120, 180]
    assert one(gain=4.0) == [160, 255, 255]
    assert one(saturation=0.5) == [60, 80, 100]
    assert one(gamma=0.5) == [round(255 * (level / 255) ** 0.5) for level in (40, 80, 120)]


def test_corners_lose_light_and_frames_flicker():
    def one(seed=0, **faults):
        return develop(GREY, Look(), Sensor(**faults), np.random.default_rng(seed)).astype(float)
    dark = one(vignette=0.4)
    assert dark[0, 0].tolist() == dark[-1, -1].tolist() == [60, 60, 60]
    assert dark[32, 32].tolist() == [100, 100, 100]
    levels = np.array([one(seed, flicker=0.05)[0, 0, 0] for seed in range(200)])
    # Five standard errors of a deviation from 200 draws are a quarter of it.
    assert np.log(levels / 100).std() == pytest.approx(0.05, rel=0.25)


@pytest.mark.parametrize(('read', 'shot'), [(3.0, 0.0), (3.0, 0.5)])
def test_noise_has_the_variance_of_reading_and_of_shot(read, shot):
    frame = develop(GREY, Look(noise=read), Sensor(shot=shot), np.random.default_rng(0))
    # 12288 samples; rounding adds a twelfth. Five standard errors are 6 %.
    assert frame.astype(float).var() == pytest.approx(read ** 2 + shot * 100 + 1 / 12, rel=0.07)


def test_frames_are_taken_unevenly_but_begin_and_end_on_time():
    times = frame_times(5, Sensor(jitter_s=0.02), 200, 10)
    late = times - np.arange(200) / 10
    np.testing.assert_allclose(late[[0, -1]], 0, atol=1e-9)
    assert np.abs(late).max() <= 0.04 + 1e-9
    assert 0.012 < late.std() < 0.024
    assert (np.diff(times) > 0).all()
    np.testing.assert_allclose(times / 0.01, np.round(times / 0.01), atol=1e-6)
    arriving = frame_times(5, Sensor(jitter_s=0.02, drop=0.3), 200, 10)
    assert np.isin(arriving, times).all()
    np.testing.assert_array_equal(arriving[[0, -1]], times[[0, -1]])
    # 200 frames: four standard errors are 0.13.
    assert 1 - len(arriving) / 200 == pytest.approx(0.3, abs=0.13)


def test_a_steady_camera_takes_all_frames_on_time():
    np.testing.assert_allclose(frame_times(5, Sensor(), 20, 10), np.arange(20) / 10)


def test_a_picture_of_the_past_is_what_was_seen_then(renderer):
    cell = WorkCell(sample_scene(0, CELLS['full'].domain('sim'), 'constant',
                                 cell=CELLS['full']))
    renderer.render(cell)
    cell.wait(1.0)
    then = renderer._picture(cell, 0.0).astype(float)
    cell.wait(1.04)
    now = renderer._picture(cell, 0.0).astype(float)
    back = renderer._picture(cell, -0.04).astype(float)
    # What remains is the object's own slip against the belt, hundredths of a pixel.
    assert np.abs(back - then).mean() < 0.1 * np.abs(now - then).mean()


def test_texture_has_the_spectrum_of_photographs_and_correlated_colours():
    drawn = photographic(np.random.default_rng(0), 128, 256, 1.1)
    assert drawn.shape == (128, 256, 3)
    luminance = drawn.mean(axis=2)
    assert luminance.std() == pytest.approx(1, abs=1e-6)
    spectrum = np.abs(np.fft.rfft2(luminance))
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(256))
    inside = (frequency > 0.01) & (frequency < 0.45)
    slope = np.polyfit(np.log(frequency[inside]), np.log(spectrum[inside]), 1)[0]
    assert slope == pytest.approx(-1.1, abs=0.02)
    correlation = np.corrcoef(drawn.reshape(-1, 3).T)
    assert correlation.min() > 0.7


def test_texture_has_edges_and_not_only_a_spectrum():
    luminance = photographic(np.random.default_rng(0), 128, 128, 1.1).mean(axis=2)
    steps = np.diff(luminance, axis=1).ravel()
    # Random phases would give a Gaussian's kurtosis of 3.
    assert np.mean((steps / steps.std()) ** 4) > 4


def test_belt_is_drawn_as_its_look_says():
    def mean_color(**look):
        data = belt_texture(Look(belt=0.4, belt_contrast=0.1, **look))
        return cv2.imdecode(np.frombuffer(data, np.uint8), 1)[..., ::-1].mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(mean_color(texture='photographic'), 0.4, atol=0.01)
    np.testing.assert_allclose(
        mean_color(texture='photographic', belt_tint=(1.2, 1.0, 0.5)), [0.48, 0.4, 0.2],
        atol=0.01)
    # As it came out before there were other textures.
    data = belt_texture(sample_scene(7, BELT.domain('shifted')).look)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), 1)
    np.testing.assert_allclose(image[[5, 100], [7, 200]], [[199, 161, 165], [184, 149, 152]],
                               atol=1)
