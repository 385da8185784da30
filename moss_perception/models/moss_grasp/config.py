"""Configuration of the model with MOSS between backbone and head."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moss_perception.models.layers.config import MossConfig, order_names


@dataclass(frozen=True)
class MossGraspConfig(MossConfig):
    """MOSS on the backbone's maps; a level of the budget is a prefix of its orders."""

    @property
    def levels(self) -> tuple[str, ...]:
        """Name the prefixes of the orders."""
        return order_names(self.orders)

    def lowest_level(self, notes: Mapping[str, Any]) -> int:
        """
        Tell which prefixes of its orders a checkpoint was trained for.

        :returns: 1 if any prefix can be run, or nothing is known of the training; else the
            highest order, without which its scores mean nothing.
        """
        always_all = notes.get('recipe', {}).get('full_orders', 0) >= 1
        return self.orders if always_all else 1
