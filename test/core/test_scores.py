"""Score clouds: every valid layout is read, the others are refused by name."""

from types import SimpleNamespace

from moss_perception.core.clouds import cloud_fields
from moss_perception.core.errors import ScoresError
from moss_perception.core.scores import (
    GraspScores,
    read_scores,
    SCORE_DTYPE,
    ScoreReason,
)
import numpy as np
import pytest

NAMES = SCORE_DTYPE.names
NAN = float('nan')


def rows_of_two():
    rows = np.zeros(3, SCORE_DTYPE)
    rows[0] = 0.1, 0.2, 0.3, 0, 0, 0, 1, 0.9, 0.05, 0, ScoreReason.SCORED, 2, 3, 0.4
    rows[1] = 1, 2, 3, 0.6, 0, 0, 0.8, NAN, NAN, 1, ScoreReason.OUTSIDE_IMAGE, 2, 3, 0.6
    rows[2] = NAN, NAN, NAN, 0, 0, 0, 1, 0.5, 0.25, -1, ScoreReason.SCORED, 0, 0, 0.5
    return rows


def make_cloud(order='<', floats='f4', gap=0, height=1, row_gap=0, names=NAMES):
    rows = rows_of_two()
    formats = [order + (floats if SCORE_DTYPE[n].kind == 'f' else SCORE_DTYPE[n].str[1:])
               for n in NAMES]
    dtype = np.dtype({'names': NAMES, 'formats': formats,
                      'offsets': [gap + 8 * i for i in range(len(NAMES))],
                      'itemsize': 8 * len(NAMES) + gap})
    points = np.zeros(len(rows), dtype)
    for name in NAMES:
        points[name] = rows[name]
    width = len(rows) // height
    datatypes = {name: datatype for name, _, datatype in cloud_fields(SCORE_DTYPE)}
    fields = [SimpleNamespace(
        name=name, offset=dtype.fields[own][1], count=1,
        datatype=8 if floats == 'f8' and datatypes[own] == 7 else datatypes[own])
        for own, name in zip(NAMES, names, strict=True)]
    return SimpleNamespace(
        height=height, width=width, is_bigendian=order == '>', point_step=dtype.itemsize,
        row_step=width * dtype.itemsize + row_gap, fields=fields,
        data=b''.join(r.tobytes() + bytes(row_gap) for r in points.reshape(height, width)))


def assert_same(rows, expected):
    assert rows.dtype == SCORE_DTYPE
    for name in NAMES:
        np.testing.assert_array_equal(rows[name], expected[name])


@pytest.mark.parametrize('layout', [
    {}, {'order': '>'}, {'gap': 3}, {'floats': 'f8'}, {'height': 3}, {'height': 3, 'row_gap': 5},
    {'order': '>', 'gap': 16, 'height': 3, 'floats': 'f8'}])
def test_every_layout_gives_the_same_rows(layout):
    assert_same(read_scores(make_cloud(**layout)), rows_of_two())


def test_rows_as_they_lie_in_memory_are_a_cloud():
    rows = rows_of_two()
    fields = [SimpleNamespace(name=name, offset=offset, datatype=datatype, count=1)
              for name, offset, datatype in cloud_fields(SCORE_DTYPE)]
    size = SCORE_DTYPE.itemsize
    assert rows.dtype.itemsize == size
    assert_same(read_scores(SimpleNamespace(
        height=1, width=3, is_bigendian=False, point_step=size, row_step=3 * size,
        fields=fields, data=rows.tobytes())), rows)


def test_an_empty_cloud_has_no_rows():
    cloud = make_cloud()
    cloud.width = cloud.row_step = 0
    cloud.data = b''
    assert read_scores(cloud).shape == (0,)


def test_a_cloud_of_an_older_version_names_what_it_lacks_and_what_to_do():
    cloud = make_cloud()
    cloud.fields = [f for f in cloud.fields if f.name in ('x', 'y', 'z', 'score', 'uncertainty')]
    with pytest.raises(ScoresError, match='lacks the fields qx, qy, qz, qw, candidate, reason, '
                       'candidates_sec, candidates_nanosec: an older .* replay the images'):
        read_scores(cloud)


def test_a_cloud_from_before_lead_times_has_none():
    cloud = make_cloud()
    cloud.fields = [field for field in cloud.fields if field.name != 'lead_time']
    rows = read_scores(cloud)
    assert np.isnan(rows['lead_time']).all()
    for name in NAMES[:-1]:
        np.testing.assert_array_equal(rows[name], rows_of_two()[name])


def test_a_missing_field_is_named():
    names = ['quality' if name == 'score' else name for name in NAMES]
    with pytest.raises(ScoresError, match='lacks the fields score; it has x, .*quality'):
        read_scores(make_cloud(names=names))


def test_a_cloud_without_fields_is_refused():
    cloud = make_cloud()
    cloud.fields = []
    with pytest.raises(ScoresError, match='it has none'):
        read_scores(cloud)


@pytest.mark.parametrize(('name', 'datatype', 'words'), [
    ('score', 6, 'score of datatype 6 .*expected datatype 7 or 8'),
    ('candidate', 7, 'candidate of datatype 7 .*expected datatype 5,')])
def test_a_field_of_another_type_is_refused(name, datatype, words):
    cloud = make_cloud()
    cloud.fields[NAMES.index(name)].datatype = datatype
    with pytest.raises(ScoresError, match=words):
        read_scores(cloud)


def test_a_field_beyond_the_point_is_refused():
    cloud = make_cloud()
    cloud.fields[-1].offset = 110
    with pytest.raises(ScoresError, match='up to byte 114, beyond its point_step 112'):
        read_scores(cloud)


def test_too_little_data_is_refused():
    cloud = make_cloud()
    cloud.data = cloud.data[:-1]
    with pytest.raises(ScoresError, match='does not fit'):
        read_scores(cloud)


def test_the_rows_split_into_candidates_and_default():
    scores = GraspScores.of(rows_of_two())
    np.testing.assert_array_equal(scores.positions, np.float32([[0.1, 0.2, 0.3], [1, 2, 3]]))
    np.testing.assert_array_equal(
        scores.orientations, np.float32([[0, 0, 0, 1], [0.6, 0, 0, 0.8]]))
    assert scores.candidates_stamp_ns == 2_000_000_003
    assert (scores.default['candidate'], scores.default['score']) == (-1, 0.5)
    assert scores.default['candidates_sec'] == scores.default['candidates_nanosec'] == 0


def test_the_default_row_alone_has_no_candidates():
    scores = GraspScores.of(rows_of_two()[2:])
    assert len(scores.candidates) == scores.candidates_stamp_ns == 0
    assert scores.positions.shape == (0, 3) and scores.orientations.shape == (0, 4)


@pytest.mark.parametrize('chosen', [[0, 1], [1, 0, 2], [1, 2], [0, 1, 2, 2], []])
def test_rows_out_of_order_or_without_one_default_are_refused(chosen):
    with pytest.raises(ScoresError, match='the default grasp point'):
        GraspScores.of(rows_of_two()[chosen])
