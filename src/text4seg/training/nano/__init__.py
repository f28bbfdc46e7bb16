"""Fine-tuning of nano on a user's own names. How nano itself is made: `projects/nano/`."""
