"""Conversion of values for JSON."""

from collections.abc import Mapping
import math
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Convert mappings, sequences and arrays to JSON types, and non-finite numbers to null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
