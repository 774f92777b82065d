"""NumPy's functions in terms of the operation tables, a module for each kind."""
