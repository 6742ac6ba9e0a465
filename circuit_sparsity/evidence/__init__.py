"""Is a circuit real? What METHOD asks of one, with the controls that could have said otherwise."""
