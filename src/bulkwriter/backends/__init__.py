"""One package or module for each kind of database; each loads its driver, and none is loaded before it is asked for."""
