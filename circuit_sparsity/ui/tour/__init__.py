"""The tour: one circuit, step by step."""
