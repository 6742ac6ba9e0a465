"""The released examples."""
