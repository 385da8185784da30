"""A stub of the Python bindings of MoveIt Task Constructor."""
