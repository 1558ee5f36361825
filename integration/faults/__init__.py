"""Faults of real servers: a stage to play them on, what is checked of each, and the tables of the documentation.

``postgres/`` and ``mysql/`` beside this folder have the lists; what happens to both is in ``scenarios/`` here.
"""
