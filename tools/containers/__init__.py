"""Runs ``integration/`` on servers in containers: by the engine of this machine, or else by one of our own."""

NO_ENGINE = 125
"""What a run beside an engine of our own returns when that does not start; pytest returns no such number."""
