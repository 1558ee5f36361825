"""Defects that bulk writers have had, planted into a copy of this one: the tests must notice each."""
