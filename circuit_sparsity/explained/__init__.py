"""Circuits that were understood: attacks that follow from how they work, measured."""
