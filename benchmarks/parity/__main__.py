"""`python -m benchmarks.parity`."""

from benchmarks.parity.surfaces import main

main()
