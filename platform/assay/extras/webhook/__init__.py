"""Calls a URL when a study ends, stalls or settles."""
