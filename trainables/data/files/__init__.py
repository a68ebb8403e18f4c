"""Image files: found, opened, told apart, unpacked, and written whole or not at all."""
