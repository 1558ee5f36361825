"""The same faults, met by bulkwriter and by what people write with instead: what callers hear, and what is stored.

``python -m scorecard`` plays them on real servers and prints ``docs/scorecard.md``; ``make scorecard`` writes it.
A ``Way`` is one way to write rows, a scenario brings one fault about, a ``Stage`` lets the two meet, and a ``Score``
compares what each caller heard with the table.
"""
