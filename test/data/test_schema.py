"""Samples check themselves, and tell what they lack."""

import cv2
from moss_perception.core.errors import DataError, ShapeError
from moss_perception.data.scenes import in_view
from moss_perception.data.schema import Attempt, GRIP_S, Sample
from moss_perception.data.shards import read_shard, write_shard
import numpy as np
import pytest

MATRIX = np.array([[48.0, 0, 15.5], [0, 48, 15.5], [0, 0, 1]])
CANDIDATES = np.float32([[0, 0, 0.6, 0], [0.05, 0.02, 0.6, 1], [5, 0, 0.6, 0]])


def sample(**values):
    jpegs = tuple(cv2.imencode('.jpg', np.full((32, 32, 3), 10 * n, np.uint8))[1].tobytes()
                  for n in range(4))
    return Sample(**{'jpegs': jpegs, 'candidates': CANDIDATES, 'labels': [1, 0, 0],
                     'mask': [True, False, False], 'matrix': MATRIX, 'name': 'pick 7'} | values)


def test_a_label_belongs_to_a_candidate():
    with pytest.raises(ShapeError, match=r'pick 7: labels of shape \(2,\): expected one value'):
        sample(labels=[1, 0])
    with pytest.raises(ShapeError, match=r'pick 7: mask of shape \(4,\)'):
        sample(mask=[True] * 4)
    assert sample(mask=None).mask.all()
    assert (sample().labels.dtype, sample().mask.dtype) == (np.float32, bool)


def test_outcomes_of_unlabelled_candidates_are_not_invented():
    with pytest.raises(DataError, match='pick 7 has labels for 1 of 3 candidates'):
        _ = sample().outcomes
    assert sample(mask=None).outcomes.tolist() == [True, False, False]


def test_an_uncalibrated_camera_is_named():
    with pytest.raises(DataError, match='pick 7 has no camera matrix'):
        in_view([sample(matrix=None)])


def test_only_labelled_candidates_must_be_in_view():
    assert sample().in_view().tolist() == [True, True, False]
    assert len(in_view([sample(), sample(mask=None)])) == 1


def test_observations_are_named_arrays_with_a_stamp():
    seen = sample(stamps_ns=np.array([0, 1, 3, 4]) * 100_000_000).observations(3, 10.0)
    assert [one.stamp_ns for one in seen] == [100_000_000, 300_000_000, 400_000_000]
    assert [round(float(one.arrays['rgb'].mean()) / 10) for one in seen] == [1, 2, 3]


def test_a_shard_takes_only_what_the_simulator_records(tmp_path):
    path = tmp_path / 'scenes_00000000.npz'
    simulated = {'seed': 3, 'track': np.zeros((2, 3), np.float32), 'mask': None}
    for lacking, message in (('seed', 'no seed'), ('track', 'no track')):
        with pytest.raises(DataError, match=f'pick 7 has {message}: expected what the simulator'):
            write_shard(path, [sample(**simulated | {lacking: None})], MATRIX)
    with pytest.raises(DataError, match='no label of each candidate'):
        write_shard(path, [sample(**simulated | {'mask': [True, True, False]})], MATRIX)
    write_shard(path, [sample(**simulated)], MATRIX)
    assert read_shard(path)[0].outcomes.tolist() == [True, False, False]


def test_other_lead_times_fit_the_candidates_and_each_other():
    times, labels, places = np.zeros(2), np.zeros((2, 3)), np.zeros((2, 3))
    given = {'other_lead_times_s': times, 'other_labels': labels, 'other_places': places}
    assert sample(**given).other_labels.shape == (2, 3)
    for wrong in ({'other_labels': np.zeros((2, 4))}, {'other_places': None},
                  {'other_lead_times_s': np.zeros(3)}, {'other_lead_times_s': np.float32(0.7)}):
        with pytest.raises(ShapeError, match=r'pick 7: other_lead_times_s.*expected \(L,\), '
                           r'\(L, 3\) and \(L, 3\), or None for all three'):
            sample(**given | wrong)


def test_during_a_grasp_the_lead_time_is_what_is_left():
    stamps = np.array([4, 9, 12]) * 100_000_000
    attempt = Attempt(1, True, sample().jpegs[:3], stamps, ('approach', 'close', 'lift'))
    whole = sample(attempt=attempt, lead_time_s=0.7, other_lead_times_s=np.zeros(2),
                   other_labels=np.zeros((2, 3)), other_places=np.zeros((2, 3)))
    parts = [whole.during(index) for index in range(3)]
    np.testing.assert_allclose([part.lead_time_s for part in parts], [0.6, 0.1, 0.0], atol=1e-9)
    assert parts[0].other_lead_times_s is None
    assert np.isnan(sample(attempt=attempt).during(0).lead_time_s)


def test_constant_velocity_leads_to_the_samples_own_lead_time():
    assert sample(velocity=0.1).constant_velocity_lead == pytest.approx(0.1 * GRIP_S)
    assert sample(velocity=0.1, lead_time_s=0.8).constant_velocity_lead == pytest.approx(0.08)
