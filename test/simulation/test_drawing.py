"""Contact sheets of scenes."""

from moss_perception.simulation.drawing import sheet
import numpy as np


def test_unfilled_rows_stay_white():
    rows = sheet([np.zeros((4, 5, 3), np.uint8)] * 3, 2)
    assert [row.shape for row in rows] == [(6, 14, 3)] * 2
    assert (rows[1][:, 7:] == 255).all()
