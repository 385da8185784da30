"""The table of the keys of a cell file."""

from moss_perception.simulation.cell_keys import KEYS
from tables import code, sentence, table


def markdown():
    """Write one row for each key."""
    return table(['key', 'default', 'meaning', 'allowed'], [
        [code(name), code(_shown(key.default)), sentence(key.about), sentence(key.expected)]
        for name, key in KEYS.items()])


def _shown(value):
    if isinstance(value, float):
        return f'{value:g}'
    if isinstance(value, dict):
        return ', '.join(f'{name}: {share:g}' for name, share in value.items())
    return ', '.join(map(str, value)) if isinstance(value, list) else value
