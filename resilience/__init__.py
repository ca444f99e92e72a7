"""What stands between a caller and a service that may be slow, throttled or down."""
