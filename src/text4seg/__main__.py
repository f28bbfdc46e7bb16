"""`python -m text4seg` does what `text4seg` does."""

from text4seg.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
