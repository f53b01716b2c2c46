"""`python -m benchmarks.rollouts`."""

from benchmarks.rollouts.minute import main

main()
