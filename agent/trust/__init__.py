"""Lists of trusted roots: their forms, what is taken from them, how roots leave."""
