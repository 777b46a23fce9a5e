"""The clock of records: it never goes back, so that runs and decisions keep the order of their making."""

from __future__ import annotations

import time

# Above the resolution of a float of seconds since the epoch.
STEP = 0.001

_ahead = 0.0
_latest = 0.0


def not_before(seconds: float) -> None:
    """Let all further times be later than this recorded one."""
    global _latest
    _latest = max(_latest, seconds)


def now() -> float:
    """Return the seconds since the epoch; if the system's clock has gone back, this one stays ahead of it."""
    global _ahead, _latest
    moment = time.time() + _ahead
    if moment < _latest:
        _ahead += _latest - moment + STEP
        moment = _latest + STEP
    _latest = moment
    return moment
