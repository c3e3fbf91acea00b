"""Two worked solutions of the capstone, a plain one and a better one."""
