"""Pictures and tables of what a restorer did."""
