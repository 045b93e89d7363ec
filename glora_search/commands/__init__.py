"""What each command does. `cli.py` names the commands and their options, and imports these only when they run."""
