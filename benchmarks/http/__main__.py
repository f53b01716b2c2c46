"""`python -m benchmarks.http`."""

from benchmarks.http.surfaces import main

main()
