"""Reading score clouds of every lawful layout, and refusing the others."""

from moss_perception.core.errors import CandidateError
from moss_perception.ros.common.point_cloud import positions_of, read_scores
import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2, PointField

VALUES = np.array([[0.1, 0.2, 0.3, 0.9, 0.05], [1, 2, 3, np.nan, np.nan]], np.float32)
NAMES = ('x', 'y', 'z', 'score', 'uncertainty')


def make_cloud(order='<', formats=('f4',) * 5, gap=0, names=NAMES, height=1, row_gap=0):
    dtype = np.dtype({'names': names, 'formats': [order + f for f in formats],
                      'offsets': [gap + 8 * i for i in range(5)], 'itemsize': 48 + gap})
    points = np.zeros(2, dtype)
    for name, column in zip(names, VALUES.T, strict=True):
        points[name] = column
    width = 2 // height
    row_step = width * dtype.itemsize + row_gap
    rows = points.reshape(height, width)
    return PointCloud2(
        height=height, width=width, is_bigendian=order == '>', point_step=dtype.itemsize,
        row_step=row_step, data=b''.join(row.tobytes() + bytes(row_gap) for row in rows),
        fields=[PointField(name=name, offset=dtype.fields[name][1], count=1,
                           datatype=7 if kind == 'f4' else 8)
                for name, kind in zip(names, formats, strict=True)])


@pytest.mark.parametrize('layout', [
    {}, {'order': '>'}, {'gap': 3}, {'formats': ('f8', 'f8', 'f8', 'f4', 'f4')},
    {'height': 2}, {'height': 2, 'row_gap': 5}, {'order': '>', 'gap': 16, 'height': 2}])
def test_every_layout_gives_the_same_values(layout):
    scores = read_scores(make_cloud(**layout))
    read = np.stack([scores[name] for name in NAMES], axis=1)
    np.testing.assert_array_equal(read, VALUES)
    np.testing.assert_array_equal(positions_of(scores), VALUES[:, :3])


def test_an_empty_cloud_has_no_scores():
    cloud = make_cloud()
    cloud.width = cloud.row_step = 0
    cloud.data = b''
    assert read_scores(cloud).shape == (0,)


def test_a_missing_field_is_named():
    with pytest.raises(CandidateError, match='quality .*expected floats x, y, z, score'):
        read_scores(make_cloud(names=('x', 'y', 'z', 'quality', 'uncertainty')))


def test_no_fields_at_all_is_refused():
    with pytest.raises(CandidateError, match='fields none'):
        read_scores(PointCloud2(height=1, width=1, point_step=20, row_step=20, data=bytes(20)))


def test_a_field_of_integers_is_refused():
    cloud = make_cloud()
    cloud.fields[3].datatype = PointField.UINT32
    with pytest.raises(CandidateError, match=r'score \(datatype 6'):
        read_scores(cloud)


def test_a_field_beyond_the_point_is_refused():
    cloud = make_cloud()
    cloud.fields[4].offset = 46
    with pytest.raises(CandidateError, match='up to byte 50, beyond its point_step 48'):
        read_scores(cloud)


def test_too_little_data_is_refused():
    cloud = make_cloud()
    cloud.data = cloud.data[:-1]
    with pytest.raises(CandidateError, match='does not fit'):
        read_scores(cloud)
