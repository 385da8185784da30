"""ROS 2 nodes: one package per node; importing them does not import torch."""
