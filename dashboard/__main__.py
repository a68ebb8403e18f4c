"""The server's process: ``python -m dashboard run app.py …`` is Streamlit's program with our imports made.

The first reader would otherwise wait seconds for pandas and statsmodels.
"""

import sys

from streamlit.web.cli import main

from dashboard import cells, plots, scores, store

__all__ = ["cells", "plots", "scores", "store"]

if __name__ == "__main__":
    sys.exit(main())
