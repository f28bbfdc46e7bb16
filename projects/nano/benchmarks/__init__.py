"""What nano's tables in the documentation are measured with."""
