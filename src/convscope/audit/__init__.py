"""Can the picture be trusted: tests that travel with each map."""

from convscope.audit.randomization import last_layer, randomized_values
from convscope.audit.rank_correlation import rank_correlation
from convscope.audit.trust import trust

__all__ = ["last_layer", "randomized_values", "rank_correlation", "trust"]
