"""The library page: what exists, what is here, and what to do with it."""
