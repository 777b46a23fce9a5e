"""Jobs as data: scripts, their environment and time limits. No IO."""
