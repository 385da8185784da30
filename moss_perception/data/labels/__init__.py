"""Outcomes as people write them: tables, the attempts that they are about, and their clocks."""
