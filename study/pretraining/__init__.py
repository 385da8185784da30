"""Pretraining on real clips: whether it helps the grasp model under the shift."""
