"""A package, because tests/model has files of the same names."""
