"""What the door costs, and what stands when somebody leans on it."""
