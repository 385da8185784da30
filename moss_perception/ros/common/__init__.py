"""Common code of the nodes."""
