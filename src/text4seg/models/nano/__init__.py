"""Nano, the embedded model: it runs without a model hub and without a GPU.

Read it in the order `encoders.vision` → `fusion` → `text.cell_tracker` → `modeling` → `nano_model`.
What it is made of and how it was trained: `MODEL_CARD.md` beside this file.
"""
