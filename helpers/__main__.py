"""`python -m helpers` does what `covid-lungs` does."""

import sys

from helpers.run.command import main

sys.exit(main())
