"""Ground: types, geometry, COCO run lengths, errors and files; numpy only."""
