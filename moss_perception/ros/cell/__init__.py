"""The node sim_cell."""
