"""pause, stop, cancel, delete, retry: from any shell that sees the database."""

from __future__ import annotations

from db.records import Command, State
from db.store import open_store
from glora_search.commands.again import options
from glora_search.driving import STALE_AFTER, driving, taking_over, utc
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
        driver = store.driver(name)
        gone = is_dead(driver.holder) if driver else state != State.CREATED  # which is about to be run
        if gone and command != "stop":  # which holds for the next run
            raise BadInput(
                f"Nobody runs the campaign {name!r} now: what ran it and left it {state} has ended. There is nothing "
                f"to {command}; it goes on with: glora-search resume {name}{options(db)}"
            )
        store.request(name, command)
        asked = store.requested(name) or command  # a stronger request stays
    print(f"Asked {name} to {asked}: it {MEANS[asked]}.")
    if gone:
        print(f"Nobody runs it now. It does so when it goes on: glora-search resume {name}{options(db)}")
    elif driver and utc() - driver.heartbeat > STALE_AFTER:
        print(f"Nothing was heard of {driver.holder} since {driver.heartbeat:%Y-%m-%d %H:%M:%S} UTC: it may be gone.")


def delete(name: str, db: str) -> None:
    """Remove the campaign and its candidates; evaluations, supernets and exports stay."""
    with open_store(db, create=False) as store:
        taking_over(lambda dead: store.delete(name, utc(), STALE_AFTER, dead))
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
