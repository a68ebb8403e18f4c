"""The study file: read with every mistake named, written, copied, and explained to editors."""
