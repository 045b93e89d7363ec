"""The maths: spaces, operators, training, evaluation, merging, data. Imports nothing else of this project."""

import supernet.lean_timm  # noqa: F401 - before any of its modules imports timm
