"""The maths: spaces, operators, training, evaluation, merging, data. Imports nothing else of this project."""
