"""Run by Alembic from `db.schema.upgrade`, which hands over an open transaction.

Imports nothing of ours, so that a foreign `db.py` beside the user cannot be met here.
"""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    version_table=attributes["version_table"],
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
