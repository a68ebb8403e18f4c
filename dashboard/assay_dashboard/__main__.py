"""The server's process: ``python -m assay_dashboard run app.py …`` is Streamlit's program, our imports made.

The first reader would otherwise wait seconds for pandas and statsmodels, and for thousands of records: they
are read while he opens his browser.
"""

import gc
import sys
import threading

from streamlit.web.cli import main

from assay_dashboard import cells, plots, scores, study_view
from assay_dashboard.state import storage_uri
from trainables.errors import InputError

__all__ = ["cells", "plots", "read_ahead", "scores", "study_view"]


def read_ahead() -> None:
    """All studies of the storage, as the first page reads them; what is wrong with it the page says."""
    try:
        study_view.studies(study_view.open_store(storage_uri()))
    except (InputError, OSError):
        return
    gc.freeze()  # records stay: looking for garbage among them took a third of the time of a page


if __name__ == "__main__":
    threading.Thread(target=read_ahead, name="read ahead", daemon=True).start()
    sys.exit(main())
