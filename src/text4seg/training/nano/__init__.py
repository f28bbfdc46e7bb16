"""How nano was trained: images with masks → scenes → questions → seeing, then writing."""
