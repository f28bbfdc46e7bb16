"""Nano, the embedded model: it runs without a hub and without a GPU.

Read it in the order `eyes` → `fusion` → `pointers` → `modeling` → `chat`.
"""
