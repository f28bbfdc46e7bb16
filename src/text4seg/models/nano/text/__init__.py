"""What nano reads off text: questions, attributes, words, and the cell that a token writes."""
