"""Faults put in on purpose, and what was found then: `make chaos`. No part of the installed package.

A file an experiment. Each is a function of its sizes that returns figures; the tests call the same functions with
small sizes and look at counts and equalities only, and call them once more with something broken, which must be found.
"""
