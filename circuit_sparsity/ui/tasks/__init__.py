"""The tasks page: pairs of prompts, and how well a model answers them."""
