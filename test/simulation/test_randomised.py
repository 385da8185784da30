"""The domain ``randomised``: broad, drawn by its own streams, and still solvable."""

from collections import Counter
from dataclasses import replace

from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import BELT, FULL
from moss_perception.simulation.equipment import HEIGHT, MOUNT_HEIGHT_M, WIDTH
from moss_perception.simulation.look import Cover
from moss_perception.simulation.motions import Constant, FULL_MOTIONS, sample_motion, scaled
from moss_perception.simulation.randomised import black_body
from moss_perception.simulation.scene import DECISION_S, sample_scene
from moss_perception.simulation.spreads import Spread, SPREADS
from moss_perception.simulation.textures import draw_cover, KINDS
import numpy as np
import pytest


def scene(seed, domain='randomised'):
    return sample_scene(seed, FULL.domain(domain), cell=FULL)


@pytest.fixture(scope='module')
def scenes():
    return [scene(seed) for seed in range(200)]


def drawn(spec) -> dict[str, float]:
    """Return the values of a scene that are one quantity each."""
    mount, sensor, look, physics = spec.mount, spec.sensor, spec.look, spec.physics
    flat = [thing for thing in look.distractors if thing.rides and thing.size[-1] < 0.001]
    rails = [thing for thing in look.distractors if thing.size[0] > 1]
    return {
        'height': mount.position[2], 'turn': mount.turn, 'tilt': float(np.hypot(*mount.tilt)),
        'magnification': spec.lens.matrix[0, 0] * MOUNT_HEIGHT_M / mount.position[2] / 202.1,
        'belt_contrast': look.belt_contrast, 'floor_contrast': look.floor_contrast,
        'object_contrast': look.object_contrast, 'ambient': look.ambient, 'noise': look.noise,
        'blur': look.blur, 'lamps': len(look.lamps), 'marks': len(flat),
        'clutter': sum(not thing.rides for thing in look.distractors) - len(rails),
        **{name: getattr(sensor, name) for name in (
            'gamma', 'saturation', 'shot', 'exposure_s', 'readout_s', 'jitter_s', 'drop',
            'vignette', 'flicker', 'jpeg_quality')},
        **{name: getattr(physics, name) for name in ('mass', 'friction', 'latency_s', 'speed')}}


def test_each_quantity_keeps_its_range_and_uses_most_of_it(scenes):
    values = [drawn(spec) for spec in scenes]
    for name in values[0]:
        spread, found = SPREADS[name], np.array([one[name] for one in values])
        if spread.share < 1:
            # Two hundred scenes: four standard deviations are 0.14.
            assert (found > 0).mean() == pytest.approx(spread.share, abs=0.14), name
            found = found[found > 0]
        rounded = name in ('lamps', 'marks', 'clutter', 'jpeg_quality')
        slack = 0.51 if rounded else 1e-3 * abs(spread.high)
        assert found.min() >= spread.low - slack, name
        assert found.max() <= spread.high + slack, name
        assert np.ptp(found) > 0.6 * (spread.high - spread.low), name


def test_object_and_kind_of_motion_are_those_of_sim():
    for seed in range(8):
        sim, wide = scene(seed, 'sim'), scene(seed)
        assert replace(wide.object, color=(), mass=0, friction=0) == replace(
            sim.object, color=(), mass=0, friction=0)
        assert wide.rolling == sim.rolling
        assert wide.motion == scaled(sim.motion, wide.physics.speed)
        assert wide.object.mass / wide.physics.mass == pytest.approx(
            sim.object.mass / sim.physics.mass)
        assert wide.object.friction / wide.physics.friction == pytest.approx(
            sim.object.friction / sim.physics.friction)


def test_a_quantity_has_its_own_stream(monkeypatch):
    before = drawn(scene(3))
    monkeypatch.setitem(SPREADS, 'noise', Spread(20.0, 25.0, 30.0, 'more noise'))
    after = drawn(scene(3))
    assert {name for name in before if before[name] != after[name]} == {'noise'}
    assert after['noise'] >= 20


def test_a_quantity_that_is_not_drawn_is_zero_and_log_keeps_the_ends():
    rng = np.random.default_rng(0)
    never = Spread(1.0, 2.0, 3.0, '', share=0.0)
    assert {never.draw(rng) for _ in range(20)} == {0.0}
    values = np.array([Spread(0.01, 0.1, 1.0, '', scale='log').draw(rng) for _ in range(500)])
    assert (values.min() >= 0.01, values.max() <= 1.0) == (True, True)
    # The logarithm is drawn symmetrically about that of the mode.
    assert np.median(values) == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize('seed', range(12))
def test_the_camera_sees_every_candidate_at_the_decision(seed):
    spec = scene(seed)
    cell = WorkCell(spec)
    cell.wait(DECISION_S)
    grasps = spec.mount.grasps_to_optical(candidates(cell, sample_offsets(seed, cell=FULL)))
    pixels, _ = project(grasps[:, :3], Camera(WIDTH, HEIGHT, spec.lens.matrix))
    assert np.isfinite(pixels).all()
    ours = [index for index in range(cell.model.ngeom)
            if cell.model.geom(index).name.startswith('distractor')]
    assert not np.isin(cell.data.contact.geom, ours).any()


def test_upright_clutter_on_the_belt_keeps_clear_of_the_gripper(scenes):
    things = [(spec, thing) for spec in scenes for thing in spec.look.distractors
              if thing.rides and thing.size[-1] > 0.001]
    assert things
    assert all(abs(thing.position[0]) >= 0.17 + 2 * abs(spec.rolling) for spec, thing in things)


def test_surfaces_are_covered_by_all_kinds_and_none_of_the_shift(scenes):
    kinds = Counter(cover.kind for spec in scenes for cover in spec.look.covers)
    assert set(kinds) == set(KINDS)
    assert not set(KINDS) & {FULL.domain(name).texture for name in ('sim', 'shifted')}
    assert {len(spec.look.covers) for spec in scenes} == {3}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('wavelength', [0.05, 0.4])
def test_a_cover_is_a_pattern_about_its_surfaces_colour(kind, wavelength):
    cover = Cover(kind, wavelength, 0.7, (1.5, 1.0, 0.5), 0.3)
    for seed in range(5):
        pattern = draw_cover(cover, np.random.default_rng(seed), 64)
        np.testing.assert_array_equal(
            pattern, draw_cover(cover, np.random.default_rng(seed), 64))
        assert pattern.shape == (64, 64, 3)
        luminance = pattern.mean(axis=2)
        assert luminance.mean() == pytest.approx(0, abs=0.03)
        assert luminance.std() == pytest.approx(1, abs=0.1)
        np.testing.assert_allclose(pattern[..., 0], 3 * pattern[..., 2], atol=1e-9)


def test_lamps_are_distant_or_near_with_and_without_shadows(scenes):
    lamps = [lamp for spec in scenes for lamp in spec.look.lamps]
    assert 0.4 < np.mean([bool(lamp.position) for lamp in lamps]) < 0.8
    assert 0.1 < np.mean([spec.look.shadows for spec in scenes]) < 0.7
    # The map of a lamp's shadows covers its cone, so only narrow cones have sharp ones.
    assert all(lamp.cutoff < 0.8 for lamp in lamps if lamp.shadow and lamp.position)
    for lamp in lamps:
        assert np.linalg.norm(lamp.direction) == pytest.approx(1)
        assert lamp.direction[2] < -0.3
        assert not lamp.position or lamp.position[2] > 0.2


def test_black_body_is_neutral_by_day_warm_below_and_cold_above():
    np.testing.assert_allclose(black_body(5500), 1, rtol=1e-6)
    warm, cold = np.array(black_body(2500)), np.array(black_body(10000))
    assert (np.diff(warm) < 0).all()
    assert (np.diff(cold) > 0).all()
    assert warm.mean() == pytest.approx(1)


@pytest.mark.parametrize('name', FULL_MOTIONS)
def test_a_scaled_motion_has_all_its_velocities_scaled(name):
    motion = sample_motion(name, np.random.default_rng(4), DECISION_S, FULL_MOTIONS)
    fast = scaled(motion, 1.3)
    assert fast.name == motion.name
    for time_s in np.linspace(0, 3.5, 36):
        for what in ('velocity', 'travel', 'acceleration'):
            assert getattr(fast, what)(time_s) == pytest.approx(
                1.3 * getattr(motion, what)(time_s), abs=1e-12), what


def test_images_are_neither_black_nor_white_and_the_object_is_seen(renderer):
    def frame(spec):
        cell = WorkCell(spec)
        cell.wait(0.0)
        return renderer.render(cell).astype(float)
    for seed in range(6):
        spec = scene(seed)
        there = replace(spec, motion=Constant(0.0, 'still'))
        away = replace(there, object=replace(there.object, x=1.5))
        seen = frame(there)
        assert 12 < seen.mean() < 200, seed
        change = np.abs(seen - frame(away)).max(axis=2)
        # Sensor noise is the same in both; the object covers at least 60 pixels.
        assert (change > 12).sum() > 60, seed


def test_only_the_full_cell_has_it():
    assert 'randomised' not in BELT.domains


def test_a_scene_drawn_twice_is_the_same():
    assert scene(11) == scene(11)
    assert scene(11).look != scene(12).look
