"""`python -m benchmarks.sdk`."""

import sys

from benchmarks.sdk.client import main

sys.exit(main())
