"""The Bridges page: an edit carried from a sparse model to a dense one, and hybrids."""
