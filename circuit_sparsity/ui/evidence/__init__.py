"""The evidence page: measures, controls, curves and attacks."""
