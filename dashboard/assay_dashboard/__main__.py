"""The server's process: ``python -m assay_dashboard run app.py …`` is Streamlit's program, our imports made.

Otherwise the first reader would wait seconds for pandas, SciPy and thousands of records. They are read
while the browser opens.

Python's collector rests meanwhile (:func:`assay.storage.store.collector_paused`): with 10,000 records it
would take longer than the reading.
"""

import gc
import socket
import sys
import threading

import uvicorn
from streamlit.web.cli import main

from assay.storage.store import collector_paused
from assay_dashboard import cells, plots, predictions, study_view
from assay_dashboard.state import storage_uri
from trainables.errors import InputError

__all__ = ["cells", "plots", "predictions", "read_ahead", "study_view"]


def read_ahead() -> None:
    """Read all studies, and make the newest one's answer: the first page. It shows what cannot be read."""
    try:
        with collector_paused():  # of ten thousand points a quarter of the time went into looking for garbage
            store = study_view.open_store(storage_uri())
            if (newest := study_view.newest(store)) is not None:
                study_view.view(store, newest).answer()
            gc.freeze()  # records stay: looking for garbage among them took a third of the time of a page
    except (InputError, OSError):
        return


def send_at_once() -> None:
    """Send what the server writes when it is written.

    Streamlit opens its socket without naming TCP, so asyncio leaves on what joins small writes: the content
    of each file waited up to 40 ms for the browser's word that its head had come, and so did messages.
    """
    startup = uvicorn.Server.startup

    async def prompt(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        for listening in sockets or ():  # connections have what it has
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await startup(self, sockets)

    uvicorn.Server.startup = prompt


if __name__ == "__main__":
    send_at_once()
    threading.Thread(target=read_ahead, name="read ahead", daemon=True).start()
    sys.exit(main())
