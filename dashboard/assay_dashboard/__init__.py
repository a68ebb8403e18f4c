"""The results of studies in a browser, live: pages of Streamlit over :mod:`assay.storage`.

It reads records, heartbeats and plans, writes requests to stop and nothing else, and trains nothing. Every
number comes from where the report takes it. ``assay dashboard`` starts it.
"""
