"""The server's process: ``python -m dashboard run app.py …`` is Streamlit's program with our imports made.

The first reader would otherwise wait seconds for pandas and statsmodels, and for thousands of records: they
are read while he opens his browser.
"""

import gc
import sys
import threading

from streamlit.web.cli import main

from dashboard import cells, plots, scores, store
from dashboard.state import storage_uri
from trainables.errors import InputError

__all__ = ["cells", "plots", "read_ahead", "scores", "store"]


def read_ahead() -> None:
    """All studies of the storage, as the first page reads them; what is wrong with it the page says."""
    try:
        store.studies(store.open_store(storage_uri()))
    except (InputError, OSError):
        return
    gc.freeze()  # records stay: looking for garbage among them took a third of the time of a page


if __name__ == "__main__":
    threading.Thread(target=read_ahead, name="read ahead", daemon=True).start()
    sys.exit(main())
