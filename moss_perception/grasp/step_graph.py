"""What the graph of a step takes and gives, by name: agreed on by who exports and who runs it."""

RESULTS = ('scores', 'uncertainties', 'motion_features', 'health')
"""What a graph gives before what is kept for later steps."""


def state_names(orders: int, looks: int) -> list[str]:
    """
    Name what a graph takes of earlier steps.

    :param orders: orders that the graph runs.
    :param looks: samples that the head looks at, the newest included.
    :returns: MOSS's cache of each order; then the head's maps of the samples before, oldest
        first, of the prefix of orders that is in use.
    """
    return [*_cache_names(orders), *(f'recent_{k}' for k in range(1, looks))]


def result_names(orders: int) -> list[str]:
    """
    Name what a graph gives.

    :returns: :data:`RESULTS`; each order's new cache; and this sample's map of each prefix.
    """
    return [*RESULTS, *(f'next_{name}' for name in _cache_names(orders)),
            *(f'map_{n}' for n in range(1, orders + 1))]


def _cache_names(orders: int) -> list[str]:
    return [f'cache_{n}' for n in range(1, orders + 1)]
