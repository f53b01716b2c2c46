"""`python -m benchmarks.bundles`."""

import sys

from benchmarks.bundles.measurement import main

sys.exit(main())
