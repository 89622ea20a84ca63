"""What judging costs, how soon an alert is known, and what the past takes to be judged again."""
