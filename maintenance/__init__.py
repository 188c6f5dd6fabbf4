"""Chores of the project's maintainers, none of which a run needs."""
