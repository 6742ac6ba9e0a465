"""Circuits: which nodes are kept, how they run, what joins them, what ablating them costs."""
