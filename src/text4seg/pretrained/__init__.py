"""Pretrained networks taken from Python packages: fetched, verified and built here.

`models/nano` uses them as frozen encoders, `refine` to sharpen masks.
"""
