"""What tests that print a line for each thing they look at share."""
import sys

failed = False


def check(what, good, shown=""):
    """One line; `shown` is what was found instead."""
    global failed
    failed |= not good
    print(f"{'ok    ' if good else 'FAILED'} {what} {'' if good else shown}")


def finish():
    sys.exit(failed)
