"""Models as data: evidence, decisions, versions, comparison, rollback. No IO."""
