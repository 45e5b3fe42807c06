"""What every experiment needs and no subject owns: history, workloads, checks, the frame of a fault run, the world."""
