"""Data that another release of the product has written."""

from energy_tracker.kit.problems import Problem


class SchemaIsNewer(Problem):
    """The tables were written by a newer release than this one; nothing was changed."""

    status = 500
    title = "The data belongs to a newer release"
