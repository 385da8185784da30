"""What is unlike training is far from it, and a watch says so once it lasts."""

from frames import CAMERA, candidates, frame, push_all, WINDOW
from moss_perception.core.errors import CheckpointError, ConfigError, ShapeError
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.graph_model import no_grasp
from moss_perception.models.layers.reading import appearance
from moss_perception.models.manifest import read_checkpoint, replace_files
from moss_perception.runtime.engine import load_engine
from moss_perception.runtime.ood import (
    fit_distribution,
    fit_normal,
    inflate_uncertainty,
    read_distribution,
    ShiftWatch,
    TrainingDistribution,
)
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tiny import tiny_engine, tiny_network
import torch

WIDTH = tiny_network().config.appearance_values


def correlated(count, seed=0, width=8):
    """Draw samples whose features hang together, on scales from 0.1 to 10."""
    generator = np.random.default_rng(seed)
    mixing = np.eye(width) + np.tri(width, k=-1)
    return generator.normal(size=(count, width)) @ mixing.T * np.geomspace(0.1, 10, width)


def known(width=8, mean=0.0, limit=1.0):
    """Return a distribution of independent features of unit spread."""
    return TrainingDistribution(
        np.full(width, mean, np.float32), np.eye(width, dtype=np.float32), np.float32([limit]))


def test_a_frame_looks_like_the_mean_and_spread_of_each_channel():
    maps = torch.zeros(1, 2, 2, 2)
    maps[0, 0] = torch.tensor([[1, 3], [1, 3]])
    maps[0, 1] = 5
    assert appearance(maps, maps[:, 1:]).tolist() == [2, 5, 1, 0, 5, 0]


def test_a_distance_by_hand():
    distribution = TrainingDistribution(
        np.float32([1, 2]), np.float32([[2, 0], [0, 1]]), np.float32([5]))
    # Three away times two, and eight away: 10, twice the limit.
    assert distribution.of_features(np.array([[4.0, 10.0]])).tolist() == [2.0]


def test_the_fit_takes_out_scale_and_correlation():
    samples = correlated(20_000)
    mean, factor = fit_normal(samples)
    whitened = (samples - mean) @ factor
    # What is drawn towards independence is little with so many samples.
    assert np.abs(whitened.T @ whitened / len(samples) - np.eye(8)).max() < 0.05


def test_few_samples_are_drawn_towards_independence_and_stay_finite():
    mean, factor = fit_normal(correlated(6))
    assert np.isfinite(factor).all() and np.linalg.matrix_rank(factor) == 8


def test_one_in_twenty_of_what_was_held_out_lies_beyond_one():
    distribution = fit_distribution(correlated(500), correlated(1000, seed=1))
    assert np.mean(distribution.of_features(correlated(1000, seed=1)) > 1) == pytest.approx(
        0.05, abs=0.002)
    assert np.mean(distribution.of_features(correlated(1000, seed=2)) > 1) == pytest.approx(
        0.05, abs=0.03)


def test_what_breaks_a_correlation_is_far_though_each_feature_is_usual():
    distribution = fit_distribution(correlated(500), correlated(200, seed=1))
    strange = correlated(200, seed=2)
    generator = np.random.default_rng(3)
    for column in range(strange.shape[1]):
        generator.shuffle(strange[:, column])
    assert np.mean(distribution.of_features(strange) > 1) > 0.9


def test_a_channel_that_never_moved_does_not_decide_alone():
    samples = correlated(500)
    samples[:, 0] = 0
    distribution = fit_distribution(samples, samples[:100])
    barely = samples[:1] + np.eye(8)[:1] * 0.01
    assert distribution.of_features(barely)[0] < distribution.of_features(samples[:1])[0] + 0.5


def test_too_few_samples_are_refused():
    with pytest.raises(ShapeError, match='at least 20 samples'):
        fit_distribution(correlated(19), correlated(100))


@pytest.mark.parametrize('changes', [
    {'limit': np.float32([0])}, {'limit': np.float32([np.nan])},
    {'factor': np.zeros((8, 7), np.float32)}, {'mean': np.full(8, np.inf, np.float32)}])
def test_a_distribution_that_does_not_fit_together_is_refused(changes):
    usual = known()
    with pytest.raises(ShapeError, match='training distribution: expected'):
        TrainingDistribution(**{**vars(usual), **changes})


def test_uncertainties_widen_beyond_one_only_and_stay_in_their_range():
    spread = np.float32([0.0, 0.1, 0.49])
    for nothing in (0.3, 1.0, float('nan')):
        assert inflate_uncertainty(spread, nothing) is spread
    assert inflate_uncertainty(spread, 2.0) == pytest.approx(
        [0.125, np.hypot(0.1, 0.125), 0.5], abs=1e-6)
    assert inflate_uncertainty(spread, 1e9) == pytest.approx(
        [0.25, np.hypot(0.1, 0.25), 0.5], abs=1e-6)
    assert inflate_uncertainty(spread, 2.0).dtype == np.float32


# ---- in a checkpoint, and in the predictor


@pytest.fixture(scope='module')
def knowing(tmp_path_factory):
    """Write the tiny checkpoint with a distribution in it."""
    path = tmp_path_factory.mktemp('knowing') / 'tiny.safetensors'
    save_checkpoint(path, tiny_network(), {'made': 'by a test'}, known(WIDTH).tensors())
    return path


def test_a_checkpoint_keeps_it_beside_its_weights(knowing):
    found = read_distribution(read_checkpoint(knowing))
    assert all(np.array_equal(x, y) for x, y in zip(
        found.tensors().values(), known(WIDTH).tensors().values(), strict=True))
    weights = load_checkpoint(knowing).state_dict()
    assert all(torch.equal(weights[name], x) for name, x in tiny_network().state_dict().items())


def test_one_of_another_network_is_not_written(tmp_path):
    with pytest.raises(ShapeError, match='of 6 features, and this version measures 8: expected'):
        known(6).check(8)


def test_one_from_before_the_features_changed_names_the_remedy(tmp_path):
    path = tmp_path / 'old.safetensors'
    save_checkpoint(path, tiny_network(), {'made': 'by a test'}, known(8).tensors())
    with pytest.raises(CheckpointError, match=f'old.safetensors: .* of 8 features.* {WIDTH}: .*'
                                              'moss ood fit'):
        load_engine(str(path), engine='torch', threads=1)


@pytest.mark.parametrize('spoil', [
    lambda tensors: tensors.pop('novelty.limit'),
    lambda tensors: tensors.update({'novelty.more': torch.zeros(1)}),
    lambda tensors: tensors.update({'novelty.mean': torch.zeros(3)}),
    lambda tensors: tensors.update({'novelty.limit': torch.full((1,), -1.0)})])
def test_a_damaged_one_is_refused_when_the_engine_is_loaded(knowing, tmp_path, spoil):
    tensors = load_file(knowing)
    spoil(tensors)
    path = tmp_path / 'spoilt.safetensors'
    from safetensors import safe_open
    with safe_open(knowing, framework='pt') as file:
        save_file(tensors, tmp_path / 'partial', file.metadata())
    replace_files({path: tmp_path / 'partial'})
    with pytest.raises(CheckpointError, match='its training distribution is damaged'):
        load_engine(str(path), engine='torch', threads=1)


def scored(engine):
    predictor = Predictor(engine)
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(0, [[0, 0, 0.5], [0.1, 0, 0.5]]))
    return push_all(predictor, [frame(k) for k in range(WINDOW + 2)])[WINDOW - 1:]


def test_a_checkpoint_without_a_distribution_gives_no_ood_score(engine):
    assert engine.distribution is None
    assert all(np.isnan(prediction.ood_score) for prediction in scored(engine))


def test_a_prediction_has_the_ood_score_of_its_newest_frame_and_is_less_certain_for_it(knowing):
    engine = load_engine(str(knowing), engine='torch', threads=1)
    narrow = load_engine(str(knowing), engine='torch', threads=1)
    narrow.distribution = None
    for found, without in zip(scored(engine), scored(narrow), strict=True):
        assert found.ood_score > 1
        assert found.score == without.score and np.array_equal(found.scores, without.scores)
        assert found.uncertainties == pytest.approx(
            inflate_uncertainty(without.uncertainties, found.ood_score))
        assert found.uncertainty > without.uncertainty


def test_both_engines_see_the_same_appearance_at_any_level(engine):
    reference, generator = tiny_engine(), np.random.default_rng(0)
    state, other = engine.initial_state(), reference.initial_state()
    for level in (3, 2, 3):
        observation = {'rgb': generator.integers(0, 256, (32, 32, 3), np.uint8)}
        result, state = engine.step(observation, no_grasp(engine.config), state, level)
        expected, other = reference.step(
            observation, no_grasp(engine.config), other, level)
        assert result.appearance.shape == (WIDTH,)
        assert np.allclose(result.appearance, expected.appearance, atol=1e-5)


# ---- the watch


def test_the_watch_begins_when_half_of_the_newest_samples_lie_beyond_and_ends_when_few_do():
    watch = ShiftWatch(size=10, begin=0.5, end=0.2)
    assert [watch.add(2.0) for _ in range(5)] == [False] * 4 + [True]
    # The five strange ones leave after ten usual ones; two of them are few.
    assert [watch.add(0.5) for _ in range(8)] == [True] * 7 + [False]
    assert not any(watch.add(x) for x in (2.0, 0.5, 0.5) * 10)


def test_single_samples_do_not_begin_it_and_what_is_unknown_is_left_out():
    watch = ShiftWatch()
    assert not any(watch.add(x) for x in (5.0, 0.5, 0.5, 0.5) * 20)
    assert watch.median == 0.5
    assert not any(watch.add(float('nan')) for _ in range(100))
    watch.clear()
    assert np.isnan(watch.median)


def test_clearing_ends_it():
    watch = ShiftWatch(size=2)
    assert watch.add(3.0) and watch.median == 3.0
    watch.clear()
    assert not watch.out and not watch.add(0.1)


@pytest.mark.parametrize('values', [
    {'size': 0}, {'begin': 1.5}, {'begin': 0.2, 'end': 0.2}, {'end': -0.1}])
def test_a_watch_that_could_not_work_is_refused(values):
    with pytest.raises(ConfigError, match='is not allowed'):
        ShiftWatch(**values)
