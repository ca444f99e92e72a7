"""How the system is run: provisioning, the local stack, the console script."""
