"""How annotations are written, whatever data set they are of."""
