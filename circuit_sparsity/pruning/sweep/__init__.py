"""A search over the settings of a pruning, for many models, tasks and sizes.

Optuna chooses the settings; local processes or a Dask cluster try them out.
"""
