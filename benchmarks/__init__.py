"""What the search costs, beside what it could cost at best and what others cost: `make bench`. Not in the package.

A file an experiment. Each figure is a ratio of two things that were timed in turn in one run. The experiments are
functions of their sizes that return figures; tests call them with small sizes and look at counts and equalities only.
"""
