"""From frames to scores: predictor, window, engines, budget, gate."""
