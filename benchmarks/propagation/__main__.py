"""`python -m benchmarks.propagation`."""

import sys

from benchmarks.propagation.arrival import main

sys.exit(main())
