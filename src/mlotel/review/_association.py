"""How far a run goes with what is flagged: Fisher's exact test and the likelihood ratio, of a table of four counts."""

from __future__ import annotations

from math import exp, inf, lgamma, log

__all__ = ["likelihood_ratio", "log_p_value"]

_NEGLIGIBLE = 1e-17


def log_p_value(flagged: int, unflagged: int, all_flagged: int, all_unflagged: int) -> float:
    """Return the natural logarithm of the one-sided p-value of Fisher's exact test.

    The p-value is how probable it is that so many of the outputs behind which a run stands are flagged, or more, if
    which ones are flagged has nothing to do with it. With F flagged and U unflagged outputs, of which the run stands
    behind K = a + b, a of them flagged, it is the upper tail of the hypergeometric distribution::

        p = Σ C(F, k) · C(U, K − k) / C(F + U, K),  k = a … min(F, K)

    R. A. Fisher, The Logic of Inductive Inference, Journal of the Royal Statistical Society 98 (1935), 39–82.

    >>> round(exp(log_p_value(3, 1, 4, 4)), 6)  # the lady tasting tea: three cups of four
    0.242857

    Args:
        flagged: a, flagged outputs that the run stands behind.
        unflagged: b, unflagged ones that it stands behind.
        all_flagged: F, all flagged outputs.
        all_unflagged: U, all unflagged ones.
    """
    behind = flagged + unflagged
    least, most = max(0, behind - all_unflagged), min(all_flagged, behind)
    if flagged <= least:
        return 0.0
    mean = behind * all_flagged / (all_flagged + all_unflagged)
    if flagged > mean:  # terms fall from here on
        upper = _tail(flagged, most, 1, behind, all_flagged, all_unflagged)
        return min(0.0, _log_probability(flagged, behind, all_flagged, all_unflagged) + log(upper))
    lower = _tail(flagged - 1, least, -1, behind, all_flagged, all_unflagged)
    probability = lower * exp(_log_probability(flagged - 1, behind, all_flagged, all_unflagged))
    return log(max(1.0 - probability, _NEGLIGIBLE))


def likelihood_ratio(flagged: int, unflagged: int, all_flagged: int, all_unflagged: int) -> float | None:
    """Return how much oftener a run stands behind a flagged output than behind an unflagged one: (a/F) / (b/U).

    It is infinite where the run stands behind no unflagged output, and None where there is nothing to compare. This is
    the positive likelihood ratio of a diagnostic test: J. J. Deeks and D. G. Altman, Diagnostic tests 4: likelihood
    ratios, BMJ 329 (2004), 168–169.

    >>> likelihood_ratio(3, 1, 4, 8)
    6.0

    The arguments are those of `log_p_value`.
    """
    if not all_flagged or not all_unflagged:
        return None
    return (flagged * all_unflagged) / (unflagged * all_flagged) if unflagged else inf


def _log_probability(flagged: int, behind: int, all_flagged: int, all_unflagged: int) -> float:
    return (
        _log_choose(all_flagged, flagged)
        + _log_choose(all_unflagged, behind - flagged)
        - _log_choose(all_flagged + all_unflagged, behind)
    )


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _tail(start: int, end: int, step: int, behind: int, all_flagged: int, all_unflagged: int) -> float:
    """The sum of the probabilities from `start` to `end` as a multiple of the first; each follows from the last."""
    term = total = 1.0
    for k in range(start, end, step):
        low = min(k, k + step)  # C(F, low + 1) / C(F, low) and so on, one way or the other
        ratio = (all_flagged - low) * (behind - low) / ((low + 1) * (all_unflagged - behind + low + 1))
        term *= ratio if step > 0 else 1 / ratio
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return total
