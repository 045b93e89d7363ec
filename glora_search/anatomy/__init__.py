"""What a search found: which genes matter, where the parameters went, and what one gene is worth."""
