"""Bridges: linear maps between the residual streams of a sparse and a dense model."""
