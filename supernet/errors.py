"""Errors that a person can mend. Each message says what was expected, what came and what to do."""


class BadInput(Exception):
    """A setting, file, image or model that cannot be used as it was given."""


class Missing(BadInput):
    """A file or folder that was named but is not there."""


class Infeasible(Exception):
    """No genome satisfies the limits asked for."""


class Corrupt(BadInput):
    """A supernet or export whose contents are not what was written."""
