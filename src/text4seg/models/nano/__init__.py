"""Nano, the embedded model: it runs without a hub and without a GPU.

Read it in the order `encoders.vision` → `fusion` → `text.cell_tracker` → `modeling` → `nano_model`.
"""
