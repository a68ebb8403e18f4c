"""The server's process: ``python -m assay_dashboard run app.py …`` is Streamlit's program, our imports made.

Otherwise the first reader would wait seconds for pandas, statsmodels and thousands of records. They are read
while the browser opens.
"""

import gc
import sys
import threading

from streamlit.web.cli import main

from assay.storage.gc_paused import collector_paused
from assay_dashboard import cells, plots, scores, study_view
from assay_dashboard.state import storage_uri
from trainables.errors import InputError

__all__ = ["cells", "plots", "read_ahead", "scores", "study_view"]


def read_ahead() -> None:
    """Read all studies of the storage as the first page does. The page shows what cannot be read."""
    try:
        with collector_paused():  # of ten thousand points a quarter of the time went into looking for garbage
            study_view.studies(study_view.open_store(storage_uri()))
            gc.freeze()  # records stay: looking for garbage among them took a third of the time of a page
    except (InputError, OSError):
        return


if __name__ == "__main__":
    threading.Thread(target=read_ahead, name="read ahead", daemon=True).start()
    sys.exit(main())
