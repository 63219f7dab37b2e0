"""Statistics over columns, computed in one pass and merged exactly."""
