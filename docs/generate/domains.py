"""The table of what the domain ``randomised`` draws, read from its spreads."""

from moss_perception.simulation.spreads import SPREADS
from tables import code, sentence, table


def markdown():
    """Write one row for each quantity."""
    return table(
        ['quantity', 'what it is', 'from', 'most often', 'to', 'drawn in'],
        [[code(name), sentence(spread.about), *(f'{value:g}' for value in (
            spread.low, spread.mode, spread.high)), 'all scenes' if spread.share == 1 else
         f'{spread.share:.0%} of the scenes']
         for name, spread in SPREADS.items()])
