"""Readers of data sets, one module per layout or family of layouts."""
