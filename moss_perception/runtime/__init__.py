"""From frames to scores: sampling, predictor, engines, budget, gate."""
