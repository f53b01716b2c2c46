"""`python -m benchmarks.golang`."""

import sys

from benchmarks.golang.measurement import main

sys.exit(main())
