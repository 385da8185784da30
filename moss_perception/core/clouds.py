"""
Rows of named numbers as sensor_msgs/PointCloud2 messages.

NumPy only: sensor_msgs_py is not on PyPI, and recordings are read without ROS.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

# sensor_msgs/PointField's datatypes.
_FORMATS = {2: 'u1', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
_DATATYPES = {kind: datatype for datatype, kind in _FORMATS.items()}


def cloud_fields(dtype: np.dtype) -> list[tuple[str, int, int]]:
    """Return name, offset and datatype of each PointField of a cloud of rows of this type."""
    layout = dtype.fields or {}
    return [(name, layout[name][1], _DATATYPES[layout[name][0].str[1:]])
            for name in dtype.names or ()]


def read_rows(message: Any, dtype: np.dtype, what: str,
              optional: Collection[str] = ()) -> np.ndarray:
    """
    Read a cloud's points as rows.

    :param message: with the fields of sensor_msgs/PointCloud2, from rclpy or from a recording.
        Its fields may have any offsets and either byte order, other fields may lie between them,
        and floats may be float32 or float64.
    :param dtype: a structured type with the fields to read, each a little-endian number.
    :param what: the cloud's name in the error.
    :param optional: floats that the cloud may lack; the rows have NaN there.
    :returns: structured array of ``dtype``, one row a point.
    :raises ValueError: if fields are missing or of another type, or the sizes do not fit.
    """
    there = {field.name for field in message.fields}
    names = [name for name in dtype.names or () if name not in optional or name in there]
    layout = _layout(message, dtype, names, what)
    width, height, row_step = message.width, message.height, message.row_step
    packed = width * message.point_step
    if (row_step < packed and height > 1) or (
            len(message.data) < max(0, height - 1) * row_step + packed):
        raise ValueError(
            f'{what} of {height} x {width} points of {message.point_step} bytes does not fit '
            f'its row_step {row_step} and {len(message.data)} bytes of data')
    data = memoryview(message.data).cast('B')
    rows = np.zeros((height, width), dtype)
    for name in set(optional).difference(names):
        rows[name] = np.nan
    for index in range(height if width else 0):
        points = np.frombuffer(data, layout, width, index * row_step)
        for name in names:
            rows[index][name] = points[name]
    return rows.reshape(-1)


def _layout(message: Any, dtype: np.dtype, names: list[str], what: str) -> np.dtype:
    """Return where the fields lie in a point of a cloud."""
    fields = {field.name: field for field in message.fields}
    missing = [name for name in names if name not in fields]
    if missing:
        raise ValueError(f'{what} lacks the fields {", ".join(missing)}; it has '
                         f'{", ".join(fields) or "none"}')
    formats, ends = [], []
    for name, _, datatype in cloud_fields(dtype):
        if name not in names:
            continue
        field = fields[name]
        expected = (7, 8) if datatype == 7 else (datatype,)
        if field.datatype not in expected or field.count not in (0, 1):
            raise ValueError(
                f'{what} has field {name} of datatype {field.datatype} and count '
                f'{field.count}: expected datatype {" or ".join(map(str, expected))}, count 1')
        formats.append(('>' if message.is_bigendian else '<') + _FORMATS[field.datatype])
        ends.append(field.offset + np.dtype(formats[-1]).itemsize)
    if max(ends) > message.point_step:
        raise ValueError(f'{what} has fields up to byte {max(ends)}, beyond its point_step '
                         f'{message.point_step}')
    return np.dtype({'names': names, 'formats': formats,
                     'offsets': [fields[name].offset for name in names],
                     'itemsize': message.point_step})
