"""`python -m benchmarks.analysis`."""

from benchmarks.analysis.parts import main

main()
