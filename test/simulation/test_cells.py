"""What scenes are drawn from: the belt cell as it always was, and the full one."""

from collections import Counter

from moss_perception.core.errors import ConfigError
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import BELT, cell_named, CELLS, FULL
from moss_perception.simulation.execution import Execution
from moss_perception.simulation.motions import FULL_MOTIONS, MOTIONS
from moss_perception.simulation.objects import FAMILIES, ROLLING
from moss_perception.simulation.scene import DECISION_S, sample_scene
import numpy as np
import pytest

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
