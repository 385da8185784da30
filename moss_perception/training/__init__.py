"""Training of the grasp network on recorded scenes of the work cell."""
