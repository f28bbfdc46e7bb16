"""How nano is made: data, training stages, benchmarks and logs of the current version."""
