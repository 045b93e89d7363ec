"""The comparison: the search against fixed methods, random search and the reference's recipe, under one protocol."""
