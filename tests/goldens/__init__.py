"""A few inspections, whole, as text files that are read in reviews."""
