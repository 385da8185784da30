"""
A simulated work cell: a conveyor, a parallel gripper and a camera.

World frame: x along the belt's travel, y across it, z up, origin on the belt's surface; metres,
seconds, radians. Only ``mjcf``-built models, ``cell`` and ``renderer`` need mujoco, and import it
when first used; ``dataset`` reads what was recorded with NumPy and OpenCV alone.
"""
