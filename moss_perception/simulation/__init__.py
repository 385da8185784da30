"""
A simulated work cell: a conveyor, a parallel gripper and a camera.

World frame: x along the belt's travel, y across it, z up, origin on the belt's surface; metres,
seconds, radians. ``physics`` imports mujoco for ``cell`` and ``renderer``.
"""
