"""Class-activation maps and what is made of them."""
