"""Model variants that are only compared: importing this package registers them."""

from study.models import moss, plain  # noqa: F401
