"""Starting mixtures: a portfolio of starts, and the race that chooses the best of them."""
