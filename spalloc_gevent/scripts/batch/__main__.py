"""``python -m spalloc_gevent.scripts.batch``."""

import sys

from spalloc_gevent.scripts.batch import main

if __name__ == "__main__":
    sys.exit(main())
