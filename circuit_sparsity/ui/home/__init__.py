"""The page that the explorer opens with."""
