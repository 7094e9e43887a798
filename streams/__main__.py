"""`python -m streams conform|materialize --config seamless.yaml`: one agent as this process.

Exit codes: 0 asked to stop, 1 crashed or fenced by another process, 2 wrong configuration.
"""

import os
import sys

from streams.memory import give_back

if __name__ == "__main__":
    give_back(os.environ)  # before a library has taken any
    from streams.process import main

    sys.exit(main(sys.argv[1:], os.environ))
