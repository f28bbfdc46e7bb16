"""Frozen networks that describe the image and the words: vision, detector, sentence embeddings."""
