"""A simulated micro-ARPES beamline behind Channel Access, with a truth of its own."""
