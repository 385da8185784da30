"""What scenes are drawn from: the cells, and each factor of the shift, which changes no other."""

from collections import Counter
from dataclasses import fields, replace

from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import (
    BELT,
    cell_named,
    CELLS,
    DYNAMIC,
    FACTORS,
    FULL,
    SHIFT,
    VISUAL,
)
from moss_perception.simulation.equipment import HEIGHT, WIDTH
from moss_perception.simulation.execution import Execution
from moss_perception.simulation.motions import FULL_MOTIONS, MOTIONS
from moss_perception.simulation.objects import FAMILIES, ROLLING
from moss_perception.simulation.scene import DECISION_S, sample_scene
import numpy as np
import pytest

SEED = 3
# Fields of the scene, or of its look, that a factor may change; all others stay.
CHANGED = {
    'textures': {'texture', 'belt_contrast', 'object_contrast', 'floor_contrast'},
    'light': {'lamps', 'ambient'},
    'exposure': {'sensor'},
    'camera': {'mount'},
    'intrinsics': {'lens'},
    'colours': {'belt', 'belt_tint', 'gains', 'floor', 'object'},
    'distractors': {'distractors'},
    'noise': {'noise', 'blur', 'sensor'},
    'motion_blur': {'sensor'},
    'rolling_shutter': {'sensor'},
    'jpeg': {'sensor'},
    'timing': {'sensor'},
    'physics': {'physics', 'object'},
    'latency': {'physics'},
}
# Seed, domain, motion and its travel until the decision, the object, its position at the
# decision, and which of the six candidates held: from the code that made the first data sets.
NOTED = [
    (0, 'sim', 'oscillating', 0.164857144,
     ('ellipsoid', 0.040948939, 0.022670173, 0.014765349, 0.223926237, 0.657339213,
      -0.038328556, -0.021137728, -0.742722487, 0.478302827, 0.302919726, 0.298550036),
     (-0.038377996, -0.021148521, 0.014695803), (0, 0, 1, 0, 0, 0)),
    (3, 'sim', 'constant', 0.106690692,
     ('capsule', 0.042550821, 0.015585502, 0.015585502, 0.151965047, 0.969662685,
      -0.039602396, -0.006310793, 0.789843387, 0.137278477, 0.694900881, 0.777620867),
     (-0.039602429, -0.006310785, 0.015550576), (0, 1, 0, 0, 1, 1)),
    (11, 'sim', 'constant', 0.113102915,
     ('box', 0.044463845, 0.020253156, 0.028910288, 0.061830824, 0.505292458, 0.005213836,
      0.013444424, 0.705194483, 0.63359289, 0.013028888, 0.054838804),
     (0.005213721, 0.013444511, 0.028892805), (1, 0, 1, 1, 0, 1)),
    (2, 'shifted', 'oscillating', 0.084324166,
     ('cylinder', 0.023849555, 0.023849555, 0.029842248, 0.264729474, 0.859751392,
      0.009417121, 0.03, -0.00689743, 0.175190289, 0.148527819, 0.160760736),
     (0.009390697, 0.030000314, 0.029824564), (0, 1, 1, 1, 1, 0)),
]


@pytest.mark.parametrize(('seed', 'domain', 'motion', 'travel', 'thing', 'place', 'held'), NOTED)
def test_belt_scenes_are_those_that_the_shipped_model_was_trained_on(
        seed, domain, motion, travel, thing, place, held):
    spec = sample_scene(seed, BELT.domain(domain))
    assert spec.motion.name == motion
    assert spec.motion.travel(DECISION_S) == pytest.approx(travel, abs=1e-8)
    drawn = spec.object
    assert drawn.shape == thing[0]
    np.testing.assert_allclose(
        [*drawn.half_sizes, drawn.mass, drawn.friction, drawn.x, drawn.y, drawn.yaw,
         *drawn.color], thing[1:], atol=1e-8)
    cell = WorkCell(spec)
    cell.wait(DECISION_S)
    # Another build of MuJoCo rounds differently: a micrometre.
    np.testing.assert_allclose(cell.object_position, place, atol=1e-6)
    saved, outcomes = cell.save(), []
    for grasp in candidates(cell, sample_offsets(seed, 6)):
        cell.restore(saved)
        outcomes.append(Execution(cell, grasp).run().success)
    assert tuple(outcomes) == held


def test_cells_name_motions_and_families_that_there_are():
    assert BELT.motion_names == tuple(MOTIONS)
    assert FULL.motion_names == tuple(FULL_MOTIONS)
    for cell in CELLS.values():
        assert sum(share for _, share in cell.motions) == pytest.approx(1)
        assert not set(cell.families) & set(cell.held_out)
    assert set(FULL.families) | set(FULL.held_out) == set(FAMILIES)
    assert len(FULL.held_out) == 2
    assert FULL.candidates >= 9


def test_unknown_cell_is_refused_by_name():
    with pytest.raises(ConfigError, match="'attic'.*belt, full"):
        cell_named('attic')


def test_full_scenes_take_every_motion_and_all_but_the_held_out_families():
    domain = FULL.domain('sim')
    drawn = [sample_scene(seed, domain, cell=FULL) for seed in range(120)]
    assert {spec.object.shape for spec in drawn} == set(FULL.families)
    kinds = Counter(spec.motion.name for spec in drawn)
    # Half of its share at least.
    assert all(kinds[name] >= share * 60 for name, share in FULL.motions)
    assert all(spec.object.shape in ROLLING for spec in drawn if spec.rolling)
    assert {spec.motion.name for spec in drawn if spec.rolling} == {'rolling'}


def test_held_out_split_takes_only_held_out_families():
    domain = FULL.domain('sim')
    drawn = [sample_scene(seed, domain, cell=FULL, split='held_out') for seed in range(40)]
    assert {spec.object.shape for spec in drawn} == set(FULL.held_out)
    assert 'rolling' not in {spec.motion.name for spec in drawn}


def test_object_and_motion_are_the_same_in_every_domain():
    first, second = (sample_scene(5, FULL.domain(name), cell=FULL)
                     for name in ('sim', 'shifted'))
    assert (first.motion, first.object.parts, first.object.x, first.rolling) == (
        second.motion, second.object.parts, second.object.x, second.rolling)


@pytest.mark.parametrize(('arguments', 'words'), [
    ({'shape': 'torus'}, "'torus'.*t_shape"),
    ({'motion': 'sideways'}, "'sideways'.*rolling"),
    ({'split': 'late'}, "'late'.*held_out"),
    ({'motion': 'rolling', 'shape': 'mug'}, 'rolling.*bottle, got mug'),
    ({'motion': 'rolling', 'split': 'held_out'}, 'rolling.*bottle, got mug, t_shape'),
    ({'shape': 'box', 'split': 'held_out'}, "'box'.*mug, t_shape"),
    ({'cell': BELT, 'split': 'held_out'}, "'belt' has no held-out"),
    ({'cell': BELT, 'motion': 'rolling'}, "'rolling'.*oscillating"),
    ({'cell': BELT, 'shape': 'mug'}, "'mug'.*ellipsoid")])
def test_what_a_cell_can_not_draw_is_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        sample_scene(0, BELT.domain('sim'), **{'cell': FULL, **arguments})


def scene(domain, seed=SEED, motion='constant'):
    return sample_scene(seed, FULL.domain(domain), motion, cell=FULL)


def parts(spec) -> dict:
    flat = {**{field.name: getattr(spec, field.name) for field in fields(spec)},
            **{field.name: getattr(spec.look, field.name) for field in fields(spec.look)}}
    del flat['look'], flat['domain']
    return flat


def test_the_shift_is_its_factors_and_each_field_belongs_to_one():
    sim, shifted = FULL.domain('sim'), FULL.domain('shifted')
    differing = {field.name for field in fields(sim)
                 if getattr(sim, field.name) != getattr(shifted, field.name)} - {'name'}
    listed = [name for changes in SHIFT.values() for name in changes]
    assert len(listed) == len(set(listed))
    assert differing == set(listed)


@pytest.mark.parametrize('factor', FACTORS)
def test_a_factor_alone_changes_what_it_is_named_after(factor):
    before, after = parts(scene('sim')), parts(scene(f'shifted.{factor}'))
    assert {name for name, part in before.items() if part != after[name]} == CHANGED[factor]
    together = parts(scene('shifted'))
    for name in CHANGED[factor] - {'sensor', 'object', 'physics'}:
        assert together[name] == after[name]


@pytest.mark.parametrize(('group', 'factors'), [('visual', VISUAL), ('dynamic', DYNAMIC)])
def test_a_group_of_factors_changes_what_its_factors_change_and_draws_as_all_together(
        group, factors):
    before, after, together = (parts(scene(name)) for name in (
        'sim', f'shifted.{group}', 'shifted'))
    changed = set().union(*(CHANGED[factor] for factor in factors))
    assert {name for name, part in before.items() if part != after[name]} == changed
    # The sensor and the object have fields of both groups.
    for name in changed - {'sensor', 'object'}:
        assert after[name] == together[name]
    assert set(VISUAL) | set(DYNAMIC) == set(FACTORS) and not set(VISUAL) & set(DYNAMIC)


def test_what_all_visual_factors_show_leaves_what_happens_as_it_is():
    np.testing.assert_array_equal(final_state(scene('shifted.visual')), final_state(scene('sim')))
    np.testing.assert_array_equal(final_state(scene('shifted.dynamic')),
                                  final_state(scene('shifted')))


def test_colour_does_not_change_mass_nor_mass_the_colour():
    before, colours, physics = (
        scene(name).object for name in ('sim', 'shifted.colours', 'shifted.physics'))
    assert replace(colours, color=before.color) == before
    assert colours.color != before.color
    assert replace(physics, mass=before.mass, friction=before.friction) == before
    assert physics.mass != before.mass
    assert physics.friction != before.friction


def test_the_objects_mass_and_friction_hold_the_factors():
    sim, spec = scene('sim'), scene('shifted.physics')
    assert spec.object.mass == pytest.approx(sim.object.mass * spec.physics.mass)
    assert spec.object.friction == pytest.approx(sim.object.friction * spec.physics.friction)


def final_state(spec) -> np.ndarray:
    cell = WorkCell(spec)
    cell.wait(0.2)
    Execution(cell, candidates(cell, np.array([[0.02, 0.0, 0.0, 0.0]]))[0]).run()
    return np.append(cell.data.qpos, cell.ticks)


def test_what_is_only_seen_leaves_what_happens_exactly_as_it_is():
    expected = final_state(scene('sim'))
    for factor in VISUAL:
        np.testing.assert_array_equal(final_state(scene(f'shifted.{factor}')), expected, factor)
    assert not np.array_equal(final_state(scene('shifted.physics')), expected)


def test_every_visual_factor_is_seen_and_no_other(renderer):
    def frame(domain):
        cell = WorkCell(scene(domain))
        cell.wait(0.05)
        return renderer.render(cell).astype(int)
    plain = frame('sim')
    np.testing.assert_array_equal(frame('sim'), plain)
    for factor in FACTORS:
        seen = bool((frame(f'shifted.{factor}') != plain).any())
        # JPEG comes after the frame; mass and friction show only once things move by them.
        if factor not in ('jpeg', 'physics'):
            assert seen == (factor in VISUAL), factor


@pytest.mark.parametrize(('domain', 'least'), [
    ('sim', 12), ('shifted', 4), ('randomised', 4)])
def test_the_object_is_in_view_at_the_decision(domain, least):
    for seed in range(60):
        spec = scene(domain, seed, motion='')
        point = spec.mount.to_optical([[spec.object.x, spec.object.y, 0.02]])
        column, row = project(point, Camera(WIDTH, HEIGHT, spec.lens.matrix))[0][0]
        assert least < min(column, row) and max(column, row) < 127 - least, seed


@pytest.mark.parametrize('domain', ['sim', 'shifted', 'randomised'])
def test_the_objects_colour_differs_from_the_belts(domain):
    for seed in range(60):
        spec = scene(domain, seed, motion='')
        belt = spec.look.belt * np.array(spec.look.belt_tint)
        assert np.abs(spec.object.color - belt).max() >= 0.2, seed


def test_what_rides_on_the_belt_keeps_clear_of_the_object():
    for seed in range(30):
        spec = scene('shifted.distractors', seed, motion='')
        riding = [thing for thing in spec.look.distractors if thing.rides]
        assert riding
        assert all(abs(thing.position[0]) >= 0.17 + 2 * abs(spec.rolling) for thing in riding)


def test_what_lies_about_passes_with_the_belt_and_touches_nothing():
    cell = WorkCell(scene('shifted.distractors'))
    cell.wait(DECISION_S)
    assert not cell.data.warning.number.any()
    ours = [index for index in range(cell.model.ngeom)
            if cell.model.geom(index).name.startswith('distractor')]
    assert len(ours) == len(cell.spec.look.distractors)
    assert not np.isin(cell.data.contact.geom, ours).any()
    riding = next(thing for thing in cell.spec.look.distractors if thing.rides)
    nearest = min(abs(cell.data.geom_xpos[index][0] - cell.object_position[0]
                      - riding.position[0]) for index in ours)
    # The object slips by millimetres while it settles.
    assert nearest < 0.005


def test_the_belt_cell_draws_what_it_drew_before_there_were_others():
    spec = sample_scene(7, BELT.domain('shifted'))
    look = spec.look
    np.testing.assert_allclose(
        [look.belt, look.belt_contrast, look.lamps[0].diffuse[0], look.ambient, look.noise,
         look.blur, look.gains[2], look.floor[1], spec.mount.turn, spec.object.color[2]],
        [0.680166142886228, 0.07278435881166204, 0.24249785304995636, 0.1370515135978636,
         13.812451338344573, 0.5535079574662877, 1.1593177666327639, 0.1643362442829113,
         -0.062180453340574496, 0.16484536498145425], rtol=1e-12)
    assert look.texture_seed == 240361926
    assert spec.sensor.instants.tolist() == [0]


def test_domains_are_known_by_cell():
    assert set(BELT.domains) == {'sim', 'shifted'}
    assert FULL.domain('sim') != BELT.domain('sim')
    with pytest.raises(ConfigError, match=r"'shifted\.light', expected one of sim, shifted$"):
        BELT.domain('shifted.light')
    with pytest.raises(ConfigError, match=r'shifted\.moon.*shifted\.rolling_shutter'):
        FULL.domain('shifted.moon')
