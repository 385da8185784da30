"""Training of grasp networks on labelled samples, simulated or recorded on a robot."""
