"""How effects are performed: one class a kind of job, with short methods."""
