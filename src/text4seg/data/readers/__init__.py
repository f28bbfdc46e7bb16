"""One file a layout: where its files lie, what its records hold, what is wrong with them."""
