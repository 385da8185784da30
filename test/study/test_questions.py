"""Questions about motion: their truth, their balance, and scenes that can't be asked about."""

from dataclasses import replace

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.data.shards import write_shard
from moss_perception.simulation.scene import Source
from moving_scenes import MATRIX, scene, write_sets
import numpy as np
import pytest
import torch

pytest.importorskip('scipy')
from study.questions.asking import answers_about, balanced, Draw, Item, items_of
from study.questions.model import Answerer, TEXT_ONLY
from study.questions.scenes import (
    AFTER,
    ANOTHER,
    BEFORE,
    Filmed,
    filmed,
    load,
    NO_TRUTH,
    refuse_leaks,
    SceneSet,
    SHORT,
    UnfitSceneError,
)
from study.questions.training import ask, asked_of, train
from study.questions.wording import ANSWERS, KINDS, LONGEST, numbers_of, UNKNOWN, words_of
from study.video.fitting import Budget
from study.video.models import INITIAL


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_sets(tmp_path_factory.mktemp('scenes'))


@pytest.fixture(scope='module')
def known(data):
    return load([data / 'train'])


def motion_of(velocity):
    """Return what is asked about a motion, and the answers."""
    return dict(answers_about(np.array(velocity, float)))


def test_the_answers_follow_from_the_velocities():
    still, steady = motion_of([0.0] * 16), motion_of([0.1] * 16)
    assert still['moves'] == 'no' and 'direction' not in still
    assert steady['moves'] == 'yes' and steady['direction'] == 'right'
    assert steady['speeds_up'] == steady['slows_down'] == 'no'
    faster = np.linspace(-0.05, -0.2, 16)
    assert motion_of(faster)['direction'] == 'left'
    assert motion_of(faster)['speeds_up'] == 'yes'
    assert motion_of(-faster[::-1])['slows_down'] == 'yes'
    swing = 0.1 * np.sin(np.arange(16) / 15 * 2 * np.pi * 2 + 0.4)
    assert motion_of(swing)['turns'] == 'more often' and 'stops' not in motion_of(swing)
    stop_and_go = np.repeat([0.1, 0.0, 0.1, 0.0], 4)
    assert motion_of(stop_and_go)['stops'] == 'once or twice'
    assert motion_of(stop_and_go)['turns'] == 'never'
    # What slows down and then speeds up, or the other way round, does neither all the time.
    dip = [0.2] * 11 + [0.15, 0.1, 0.05, 0.09, 0.13]
    for motion in (dip, 0.25 - np.array(dip)):
        assert not {'speeds_up', 'slows_down'} & set(motion_of(motion))
    # What did so before, or does so no more at the end, is asked neither.
    late = motion_of([0.1] * 8 + [0.11, 0.12, 0.13, 0.13, 0.13, 0.13, 0.13, 0.13])
    assert 'speeds_up' not in late and late['slows_down'] == 'no'
    assert 'speeds_up' not in motion_of([0.1] * 11 + [0.11, 0.12, 0.13, 0.13, 0.13])
    # Between moving and standing, and between steady and faster, there is no clear answer.
    assert 'moves' not in motion_of([0.01] * 16)
    assert 'speeds_up' not in motion_of([0.1] * 15 + [0.11])


def test_the_motion_of_a_recorded_scene_is_drawn_again_from_its_seed():
    one = scene(3)
    found = filmed(one)
    spec = Source('full', 'sim').sample(3)
    assert len(found) == 37 and found.family == spec.object.shape
    assert found.velocity[-1] == pytest.approx(one.velocity)
    if np.isfinite(found.velocity).all():
        travelled = (found.velocity[1:] + found.velocity[:-1]).sum() / 20
        assert travelled == pytest.approx(spec.motion.travel(1.9), abs=0.01)
    assert found.held[:BEFORE + 8] == (None,) * 28
    # Lost in the lift: its first two images may show it slip.
    assert found.held[BEFORE + 8:] == (None,) * 2 + (False,) * 7
    assert filmed(scene(4)).held[-1] is True


def test_motion_is_asked_only_of_what_all_images_show():
    seed = next(n for n in range(200) if scene(n).motion == 'constant'
                and np.isfinite(filmed(scene(n)).velocity).all()
                and np.diff(filmed(scene(n)).visible.astype(int)).any())
    one = filmed(scene(seed))
    hidden = set(np.flatnonzero(~one.visible))
    asked = [item for item in items_of([one]) if KINDS[item.kind].about in (
        'velocity', 'acceleration', 'recurrence')]
    assert hidden and not any(hidden & set(places) for item in asked for _, places in item.parts)
    # The place is that of the velocity, and an image that shows it is at its edge or within.
    moved = np.diff(one.places[one.visible][:, 0])
    assert (np.sign(moved) == np.sign(one.velocity[-1])).all()
    assert (np.abs(one.places[one.visible]) <= 1).all()


def test_where_an_object_ends_does_not_tell_its_direction(known):
    # Of objects at one place, as many move to the left as to the right.
    items = balanced(items_of(known.scenes), lambda item: str(item.parts[0][0]), 600)
    by_place: dict = {}
    for item in (x for x in items if x.kind == 'direction'):
        by_place.setdefault(item.where, []).append(item.answer)
        scene_of = known.scenes[item.parts[0][0]]
        sixth = min(int((scene_of.places[item.parts[0][1][-1], 0] + 1) / 2 * 6), 5)
        assert item.where == (5 - sixth if item.mirrored else sixth)
    assert len(by_place) > 1
    assert all(answers.count('left') == answers.count('right') for answers in by_place.values())


def test_of_an_object_that_rolls_the_velocity_is_known_at_the_decision_only():
    seed = next(n for n in range(200) if scene(n).motion == 'rolling')
    velocity = filmed(scene(seed)).velocity
    assert np.isnan(velocity[:-1]).all() and np.isfinite(velocity[-1])
    assert set(dict(answers_about(velocity))) <= {'moves', 'direction'}


@pytest.mark.parametrize(('changes', 'why'), [
    ({'seed': None, 'name': 'a recording'}, NO_TRUTH), ({'attempt': None}, NO_TRUTH),
    ({'cell': 'mine'}, NO_TRUTH), ({'velocity': float('nan')}, NO_TRUTH),
    ({'speed': 5.0}, ANOTHER), ({'motion': 'swinging'}, ANOTHER),
    ({'jpegs': scene(3).jpegs[5:]}, SHORT)])
def test_a_scene_without_truth_is_left_out_with_the_reason(changes, why):
    with pytest.raises(UnfitSceneError, match=why):
        filmed(replace(scene(3), **changes))


def test_scenes_that_are_left_out_are_counted(tmp_path):
    scenes = [scene(0), scene(1, speed=9.0), scene(2, jpegs=scene(2).jpegs[3:])]
    write_shard(tmp_path / 'some' / 'scenes_00000000.npz', scenes, MATRIX)
    found = load([tmp_path / 'some'])
    assert len(found.scenes) == 1 and found.left_out == {ANOTHER: 1, SHORT: 1}
    write_shard(tmp_path / 'none' / 'scenes_00000000.npz', scenes[1:], MATRIX)
    with pytest.raises(ConfigError, match=f'no scene can be used: 1 {ANOTHER}; 1 {SHORT}'):
        load([tmp_path / 'none'])
    with pytest.raises(ConfigError, match='both hold scene 0'):
        load([tmp_path / 'some', tmp_path / 'some'])


def test_a_test_that_training_has_seen_is_refused(known):
    with pytest.raises(ConfigError, match='40 scenes of mine are in training too, such as seed 0'):
        refuse_leaks(known, known, 'mine')
    family = known.scenes[0].family
    held_out = Filmed((), np.zeros(BEFORE), np.zeros((BEFORE, 2)), (), family,
                      ('full', 'held_out', 900))
    with pytest.raises(ConfigError, match=f"mine holds out \\['{family}'\\], which training has"):
        refuse_leaks(known, SceneSet([held_out]), 'mine')


def test_every_answer_to_a_kind_is_asked_as_often(known):
    items = items_of(known.scenes)
    chosen = balanced(items, lambda item: known.scenes[item.parts[0][0]].group, 12)
    assert chosen == balanced(items, lambda item: known.scenes[item.parts[0][0]].group, 12)
    for kind, described in KINDS.items():
        counts = {answer: sum((item.kind, item.answer) == (kind, answer) for item in chosen)
                  for answer in described.answers}
        assert len(set(counts.values())) == 1, (kind, counts)
    assert {item.kind for item in chosen} >= {'direction', 'moves', 'faster', 'speeds_up', 'held',
                                              'arrow', 'speed'}
    assert 0.2 < np.mean([item.mirrored for item in chosen]) < 0.8


def test_all_that_is_asked_about_a_clip_is_asked_at_once_and_every_answer_weighs_as_much(known):
    rng, draw = np.random.default_rng(1), Draw(items_of(known.scenes))
    drawn = [draw(rng) for _ in range(2000)]
    weights: dict = {}
    for items in drawn:
        assert len({(item.parts, item.mirrored) for item in items}) == 1
        assert len({item.kind for item in items}) == len(items)
        for item in items:
            weights.setdefault(item.kind, {}).setdefault(item.answer, []).append(
                draw.weight(item))
    assert max(map(len, drawn)) >= 5
    for kind, answers in weights.items():
        sums = [sum(one) for one in answers.values()]
        assert max(sums) < 1.5 * min(sums), (kind, sums)
    words, labels, balance = asked_of(drawn[:50], draw, rng)
    assert words.shape[:2] == labels.shape == balance.shape
    for row, items in zip(range(50), drawn, strict=False):
        assert labels[row, :len(items)].tolist() == [item.label for item in items]
        assert balance[row, :len(items)].tolist() == pytest.approx(
            [draw.weight(item) for item in items]) and not balance[row, len(items):].any()
    assert 0.05 < (words == UNKNOWN).sum() / (words > 0).sum() < 0.15


def test_what_is_shown_is_what_the_question_is_about(known):
    items = items_of(known.scenes)
    backwards = next(item for item in items if (item.kind, item.answer) == ('arrow', 'backwards'))
    shades = backwards.images(known.scenes, 64)[:, 32, 32, 0].astype(int)
    assert len(shades) == 16 and (np.diff(shades) < 0).all()
    double = next(item for item in items if (item.kind, item.answer) == ('speed', 'double'))
    assert (np.diff(double.images(known.scenes, 64)[:, 32, 32, 0].astype(int)) >= 11).all()
    assert max(double.parts[0][1]) >= BEFORE + AFTER - 1
    # Where a clip ends tells nothing about its speed.
    ends = {answer: sorted((item.parts[0][0], item.parts[0][1][-1]) for item in items
                           if (item.kind, item.answer) == ('speed', answer))
            for answer in ('normal', 'double')}
    assert ends['normal'] == ends['double'] != []
    pair = next(item for item in items if item.kind == 'faster')
    (first, _), (second, _) = pair.parts
    assert known.scenes[first].group == known.scenes[second].group and first != second
    speeds = [np.abs(known.scenes[n].velocity[-8:]).mean() for n in (first, second)]
    assert pair.answer == ('first', 'second')[int(np.argmax(speeds))]


def test_a_mirrored_question_has_the_other_side_as_answer():
    class Half:
        group = ''

        def frames(self, places, size):
            images = np.zeros((len(places), size, size, 3), np.uint8)
            images[:, :, :size // 2] = 255
            return images

    item = Item('direction', 'left', ((0, tuple(range(16))),))
    mirrored = item.mirror()
    assert mirrored.answer == 'right' and mirrored.mirror() == item
    assert mirrored.images([Half()], 8)[0, 0, :, 0].tolist() == [0] * 4 + [255] * 4
    assert Item('moves', 'yes', ()).mirror().answer == 'yes'


@pytest.mark.parametrize('kind', KINDS)
def test_held_out_phrasings_are_new_but_their_words_are_known(kind):
    trained = {text for described in KINDS.values() for text in described.phrasings(False)}
    held_out = KINDS[kind].phrasings(True)
    assert len(KINDS[kind].phrasings(False)) >= 4 and len(held_out) >= 2
    assert not trained & set(held_out)
    for text in [*held_out, *KINDS[kind].phrasings(False)]:
        assert UNKNOWN not in numbers_of(text) and len(words_of(text)) <= LONGEST


def test_a_question_becomes_numbers_whatever_its_letters():
    assert numbers_of('Is the OBJECT moving now?') == numbers_of('is the object moving now')
    assert numbers_of('is the zebra') == [*numbers_of('is the')[:2], UNKNOWN] + [0] * (LONGEST - 3)


@pytest.mark.parametrize('variant', ['pooling', 'displacement_123', TEXT_ONLY])
def test_the_answers_depend_on_the_question_and_on_the_clip(variant):
    torch.manual_seed(0)
    model = Answerer(variant)
    images = torch.randint(0, 255, (2, 16, 64, 64, 3), dtype=torch.uint8)
    words = torch.tensor([[numbers_of(text) for text in ('is it moving', 'is it faster')]] * 2)
    logits = model(images, words)
    assert logits.shape == (2, 2, len(ANSWERS))
    assert not torch.allclose(logits[0, 0], logits[0, 1])
    assert torch.allclose(logits[0], logits[1]) == (variant == TEXT_ONLY)
    # What follows the last word does not count.
    cut = torch.cat([words, torch.zeros(2, 2, 3, dtype=torch.int64)], 2)
    torch.testing.assert_close(model.text(cut.flatten(0, 1)), model.text(words.flatten(0, 1)))


def test_a_trained_network_is_kept_and_a_damaged_one_is_named(known, tmp_path):
    path, draw = tmp_path / 'text.safetensors', Draw(items_of(known.scenes))
    arguments = (TEXT_ONLY, known.scenes, draw, 64, 0, Budget(240), str(INITIAL), path)
    first = train(*arguments)
    items = balanced(draw.items, lambda item: known.scenes[item.parts[0][0]].group, 6)
    answers = ask(first, items, known.scenes, 64, Budget(8))
    assert answers == ask(train(*arguments), items, known.scenes, 64, Budget(8))
    assert [path.name for path in tmp_path.iterdir()] == ['text.safetensors']
    path.write_bytes(b'cut off')
    with pytest.raises(CheckpointError, match='is damaged'):
        train(*arguments)
