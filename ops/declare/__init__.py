"""What declarations are made with: ufuncs, composed primitives, folds, operands."""
