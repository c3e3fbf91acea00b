"""Tools that people run on the course itself: the builder and the linter."""
