"""Our time, the peers' time and the limit's time, side by side in one process run: ``make bench``."""
