"""The kinds of durable job: for each, what comes next and what follows. Pure."""
