"""How nano was trained: photos with masks → scenes → questions → seeing, then writing."""
