"""The tensor that users hold: its methods, views and writes, the memory guard, the imperative trace."""
