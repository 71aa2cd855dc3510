"""Subjects: what has jobs, kind by kind, as the manager sees it."""
