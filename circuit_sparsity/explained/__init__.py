"""Circuits that were understood: accounts in words, and attacks that follow, measured."""
