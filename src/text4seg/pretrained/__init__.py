"""Pretrained networks that install from packages: fetched, verified, and shared by the rooms above.

`models` looks through them, `refine` sharpens with them; neither knows the other.
"""
