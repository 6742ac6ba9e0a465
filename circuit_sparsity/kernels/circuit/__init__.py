"""What runs when a compiled circuit runs: sixteen tokens at a time, from location to location.

Rows are nodes, or whatever feeds them, and columns are tokens: a *panel* is sixteen columns. Nodes
are held as their *excess* over their means, so that whatever is not kept is a constant, folded.
"""
