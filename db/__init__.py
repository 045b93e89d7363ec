"""What is remembered: campaigns, their candidates, and every evaluation ever made.

Start at `db.store.open_store`. `db.records` holds the values that come back and `db.errors` what can go wrong;
both import nothing heavy, and neither does this file. SQLAlchemy and Alembic are imported in this package only.
"""
