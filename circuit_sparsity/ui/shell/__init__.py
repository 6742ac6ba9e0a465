"""What every page stands in: address, pickers, state, jobs, messages, cached values."""
