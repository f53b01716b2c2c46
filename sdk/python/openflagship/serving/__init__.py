"""What the processes that answer requests share, the platform's and the edge's: how they run what answers.

Only such a process imports it: `uvicorn_protocol` needs uvicorn and httptools.
"""
