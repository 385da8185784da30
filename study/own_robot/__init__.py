"""How many attempts of your own robot a model needs: a curve, made in simulation."""
