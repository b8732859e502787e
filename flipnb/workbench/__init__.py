"""The researcher's side: from a notebook to a bundle, from a run to its results."""
