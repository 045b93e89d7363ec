"""What is remembered: campaigns, their candidates, and every evaluation ever made.

Start at `db.store.open_store`. `db.records` holds the values that come back and `db.errors` what can go wrong;
both import nothing heavy, and neither does this file. How processes share a campaign: `db.lease` and `db.control`.
SQLAlchemy and Alembic are imported in this package only.
"""
