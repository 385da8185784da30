"""The node bag_player."""
