"""The composition root: the only room that knows all others and has side effects."""
