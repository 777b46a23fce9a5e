"""The clock of records. It never goes back, so runs and decisions keep their order."""

from __future__ import annotations

import time

# Above the resolution of a float of seconds since the epoch.
STEP = 0.001

_ahead = 0.0
_latest = 0.0


def not_before(seconds: float) -> None:
    """Let all later times be after this recorded time."""
    global _latest
    _latest = max(_latest, seconds)


def now() -> float:
    """Return the seconds since the epoch. If the system's clock goes back, this clock does not."""
    global _ahead, _latest
    moment = time.time() + _ahead
    if moment < _latest:
        _ahead += _latest - moment + STEP
        moment = _latest + STEP
    _latest = moment
    return moment
