"""`python -m benchmarks.console`."""

from benchmarks.console.pages import main

main()
