"""What the tests of the live views say, in the words that scripts/steps shows."""

import sys


def check(name, is_so, seen):
    """Says what was seen; the first thing that is not so ends the run."""
    print(f"{'✔' if is_so else '✘'} {name}: {seen}", flush=True)
    if not is_so:
        sys.exit(1)


def figure(text):
    print(f"➜ {text}", flush=True)
