"""A mapping that stays small, whatever a stranger puts into it."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar('K')
V = TypeVar('V')


class Recent(OrderedDict[K, V]):
    """
    Keeps the keys that were set last, in the order in which they were.

    :param most: number of keys; beyond that, the one that was set longest ago is forgotten.
    """

    def __init__(self, most: int):
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        """Set a value; its key is then the newest."""
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)
