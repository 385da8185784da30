"""What the graph of a step takes and gives, by name: agreed on by who exports and who runs it."""

from moss_perception.models.config import GraspConfig

RESULTS = ('scores', 'uncertainties', 'motion_features', 'health')
"""What a graph gives before what is kept for later steps."""


def state_names(config: GraspConfig, orders: int) -> list[str]:
    """
    Name what a graph takes of earlier steps: maps, each by itself, so that none is copied.

    :param orders: orders that the graph runs.
    :returns: order by order, MOSS's maps of the samples in its window before this one; then the
        head's maps of the samples that it looks at before this one, of the prefix of orders that
        is in use; both oldest first.
    """
    return [*(f'cache_{n}_{k}' for n in range(1, orders + 1)
              for k in range(1, config.moss_window[0])),
            *(f'recent_{k}' for k in range(1, len(config.head_looks)))]


def result_names(config: GraspConfig, orders: int) -> list[str]:
    """
    Name what a graph gives.

    :returns: :data:`RESULTS`; of this sample MOSS's map of each order, unless its window is of
        one sample only; and the head's map of each prefix.
    """
    numbers = range(1, orders + 1)
    return [*RESULTS, *(f'newest_{n}' for n in numbers if config.moss_window[0] > 1),
            *(f'map_{n}' for n in numbers)]
