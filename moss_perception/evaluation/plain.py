"""Values as JSON has them."""

from collections.abc import Mapping
import math
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Turn mappings, sequences and arrays into what JSON has; what is not finite into null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
