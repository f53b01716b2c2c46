"""`python -m benchmarks.ingest`."""

from benchmarks.ingest.parts import main

main()
