"""What people look at: tables, plots, papers, pictures."""
