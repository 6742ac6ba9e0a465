"""A circuit to take away: as a program, as tables, as JSON and as a graph that other tools read."""
