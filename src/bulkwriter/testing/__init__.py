"""For your own tests: a database in memory, scripted failures, and the suite that every backend passes.

``MemoryBackend`` is a backend over a dict, ``FaultScript`` makes any backend fail as databases do, and
``bulkwriter.testing.conformance`` (which needs pytest) holds a backend of your own to what the shipped ones promise.
"""

from bulkwriter.testing.faults import FaultScript
from bulkwriter.testing.memory import MemoryBackend
from bulkwriter.testing.parts import SimulatedFailureError
from bulkwriter.testing.table import MemoryDatabaseError, MemoryTable

__all__ = ["FaultScript", "MemoryBackend", "MemoryDatabaseError", "MemoryTable", "SimulatedFailureError"]
