"""ROS 2 nodes: wiring only, one file a node; nothing here imports torch at import time."""
