"""How good a predictor is: metrics, with intervals that respect what belongs together."""
