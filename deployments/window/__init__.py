"""The HTTP window: what outsiders with a token see of executions, and what they may tell them."""
