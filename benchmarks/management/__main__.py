"""`python -m benchmarks.management`."""

from benchmarks.management.api import main

main()
