"""Virtual devices and residents with a ground truth, faults, the demo and a pytest plugin."""
