"""What a person runs: the command line, the campaign, the evolution and the reports."""
