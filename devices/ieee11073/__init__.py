"""ISO/IEEE 11073-20601: what agents and managers say to each other, without I/O."""
