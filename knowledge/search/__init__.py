"""Search: what a graph gives the index, how questions are matched with it, and how rankings become one."""
