"""pause, stop, cancel, delete, retry: from any shell that sees the database."""

from __future__ import annotations

from db.errors import Held
from db.records import Command, State
from db.store import Store, open_store
from glora_search.commands.again import options
from glora_search.driving import STALE_AFTER, driving, utc
from glora_search.processes import is_dead
from supernet.errors import BadInput

MEANS: dict[Command, str] = {
    "pause": "starts no new candidate, records what is in flight, and ends",
    "stop": "finishes its generation, then chooses, reports and exports",
    "cancel": "ends at once, with what is recorded",
}
RUNNING = (State.CREATED, State.TRAINING, State.SEARCHING, State.REPORTING)


def ask(name: str, command: Command, db: str) -> None:
    """Write the request; whoever runs the campaign sees it within a second or at its next candidate."""
    with open_store(db, create=False) as store:
        state = store.campaign(name).state
        if state not in RUNNING:
            raise BadInput(f"The campaign {name!r} is {state}: there is nothing to {command}.")
        if not _is_run(store, name):
            again = f"glora-search resume {name}{options(db)}"
            raise BadInput(
                f"Nobody runs the campaign {name!r} now: the process that left it {state} is gone. There is nothing to "
                f"{command}; it goes on with: {again}"
            )
        store.request(name, command)
        asked = store.requested(name) or command  # a stronger request stays
    print(f"Asked {name} to {asked}: it {MEANS[asked]}.")


def _is_run(store: Store, name: str) -> bool:
    """Whether a process holds the campaign that lives, for all that can be told from here."""
    driver = store.driver(name)
    return driver is not None and not is_dead(driver.holder) and utc() - driver.heartbeat < STALE_AFTER


def delete(name: str, db: str) -> None:
    """Remove the campaign and its candidates; evaluations, supernets and exports stay."""
    with open_store(db, create=False) as store:
        try:
            store.delete(name, utc(), STALE_AFTER)
        except Held as held:
            if not is_dead(held.holder):
                raise
            store.delete(name, utc(), STALE_AFTER, dead=held.token)
    print(f"Deleted {name}. What was evaluated is still known to other campaigns; files below the runs folder stay.")


def retry(name: str, db: str) -> None:
    """Queue a campaign's failures again, and forget what was proposed after the first of them."""
    with open_store(db, create=False) as store, driving(store, name) as fenced:
        if fenced.campaign(name).state == State.FINISHED:
            raise BadInput(
                f"The campaign {name!r} has reported, and its test split was opened. Launch the config under another "
                "--name: what was evaluated is not evaluated again."
            )
        failed = fenced.candidates(name, where="status = 'failed'")
        if not failed:
            print(f"No candidate of {name} failed.")
            return
        later = fenced.rewind(name, min(candidate.generation for candidate in failed))
        count = fenced.retry(name)
        fenced.set_state(name, State.PAUSED)
    print(
        f"Queued {count} failed candidates of {name} again. {later} later ones were chosen without them and are "
        f"proposed anew; what was evaluated is not evaluated again. Go on with: "
        f"glora-search resume {name}{options(db)}"
    )
