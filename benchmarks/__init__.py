import sys

# `python -m benchmarks.…` measures; an import by a test does not.
if sys.argv[0] == "-m":
    from benchmarks.stack import refuse_another

    refuse_another()
