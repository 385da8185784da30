"""Read tables of outcomes whose rows have times of their own."""

from moss_perception.data.labels.matching import read_labels


def read_attempts(path):
    """Return the outcomes of a table, in its order."""
    return [x.outcome for x in read_labels(path).rows]
