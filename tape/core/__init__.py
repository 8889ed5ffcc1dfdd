"""The engine: primitives, nodes, traces, and the reverse sweep."""
