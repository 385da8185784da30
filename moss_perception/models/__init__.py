"""Networks that score grasps: one folder a model."""
