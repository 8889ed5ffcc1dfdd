"""What a function reads and changes outside itself, and the image that is recorded."""
