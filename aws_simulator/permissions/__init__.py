"""Who calls, what each role may do, and what it has done."""
