"""Examples of text4seg plug-ins: a text format, a reader of data and a refiner."""
