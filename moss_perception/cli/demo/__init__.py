"""The demo: a recording is played through the nodes, and its scores are shown."""
