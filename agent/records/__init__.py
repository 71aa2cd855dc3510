"""What is durable: one versioned aggregate for each subject."""
