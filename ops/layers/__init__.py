"""Layers of networks with passes of their own; imported by ``tapegrad.nnet``."""
