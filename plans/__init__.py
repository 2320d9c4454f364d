"""Bluesky plans and stubs: what to do at the beamline, and in which order."""
