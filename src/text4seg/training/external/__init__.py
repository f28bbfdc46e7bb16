"""The same training for other trainers: their data set and their commands."""
