"""The core, side by side with a batcher of forty lines and with async-batcher, which it descends from.

``python -m benchmarks.core`` asks four questions; what the numbers mean is in ``benchmarks/README.md``.
"""

from __future__ import annotations

from benchmarks._blocking import blocking
from benchmarks._command import main
from benchmarks._latency import latency
from benchmarks._memory import memory
from benchmarks._throughput import throughput

QUESTIONS = {"throughput": throughput, "latency": latency, "memory": memory, "blocking": blocking}

if __name__ == "__main__":
    main("core", __doc__ or "", QUESTIONS)
