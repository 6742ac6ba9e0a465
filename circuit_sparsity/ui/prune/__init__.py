"""The prune page: what is asked for, how it goes on, every size of a run."""
