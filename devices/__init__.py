"""Ophyd devices of a micro-ARPES end station: what the hardware can do."""
