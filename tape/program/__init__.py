"""The tape as a value: entries, programs, their text, and the trace that makes them."""
