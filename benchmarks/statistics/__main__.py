"""`python -m benchmarks.statistics`."""

import sys

from benchmarks.statistics.promises import main

sys.exit(main())
