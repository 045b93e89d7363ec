"""What can be chosen at a site. Every choice of the Reweight kind changes the numbers of an op, so it merges."""

from supernet.choices.reweight import Reweight, Rows, Terms

__all__ = ["Reweight", "Rows", "Terms"]
