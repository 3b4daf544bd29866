"""How fast a run was in the course of time, in as many points as a plot needs, however long it took.

Kept in the tally; shown by the record of the run and on its page.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from redrive.domain.model import Model
from redrive.domain.moving.results import Counts

#: Points of a run at most.
MAX_POINTS = 60


class RatePoint(Model):
    """How far a run was at some time."""

    #: Seconds since the run started.
    seconds: float
    #: Messages redriven per second since the point before.
    rate: float = 0.0
    #: Messages redriven so far.
    redriven: int = 0
    #: Messages quarantined so far.
    quarantined: int = 0


def with_point(
    points: Iterable[RatePoint], counts: Counts, *, seconds: float, sending: float = 0.0
) -> tuple[RatePoint, ...]:
    """Return the points with one more, and fewer of them if they were too many.

    The first one is where the first message was sent. Of the others, the last one in each span of time stays. A span is
    the smallest power of two, in seconds, that leaves few enough. So the points are as dense at the beginning of a run
    as at its end, and the counts of those that stay are exact.

    Parameters
    ----------
    points : Iterable[RatePoint]
        The points so far, in the order of time.
    counts : Counts
        How far the run is.
    seconds : float
        When that is, in seconds since the run started.
    sending : float
        Seconds before that in which messages were sent.
    """
    seconds = round(seconds, 1)
    first, *others = tuple(points) or (RatePoint(seconds=round(max(0.0, seconds - sending), 1)),)
    # The clock may be set back between two steps.
    others = [point for point in others if point.seconds < seconds]
    others.append(RatePoint(seconds=seconds, redriven=counts.redriven, quarantined=counts.quarantined))
    span = 1
    while (seconds - first.seconds) / span >= MAX_POINTS - 1:
        span *= 2
    kept = {int((point.seconds - first.seconds) // span): point for point in others}
    return (first, *(_with_rate(before, point) for before, point in pairwise((first, *kept.values()))))


def _with_rate(before: RatePoint, point: RatePoint) -> RatePoint:
    seconds = point.seconds - before.seconds
    rate = (point.redriven - before.redriven) / seconds if seconds > 0 else 0.0
    return point.model_copy(update={"rate": round(rate, 2)})
