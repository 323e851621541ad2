"""The nurse's desk: the web side of the monitor, rendered on the server."""
