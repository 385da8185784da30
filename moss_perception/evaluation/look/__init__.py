"""A look inside MOSS: what each order sees at a point of a recording, and what it answers to."""
