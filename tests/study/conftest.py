"""Property tests on a shared machine: an example may take its time, and none is kept between sessions."""

from hypothesis import settings

settings.register_profile("shared_machine", deadline=None, database=None)
settings.load_profile("shared_machine")
