"""The systems of nodes: their arguments and processes, and a supervisor that runs them."""
