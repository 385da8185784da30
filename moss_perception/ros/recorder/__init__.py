"""The node attempt_recorder, and the observer of a predictor."""
