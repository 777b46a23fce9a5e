"""Downloads from servers that are not trusted."""
