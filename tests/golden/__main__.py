"""Write the golden files anew: `python -m tests.golden`.

`answers.json`: requests in order, each with its answer, and the events of it all at the end: what
`walk.py` asks a service on the store in memory.
`entries.json`: the journal of `life.py`, which has every kind of entry, as MongoDB holds it.
`documents.json`: the views of half of it and of all of it, and what they are read to.

Look at what has changed (`git diff --word-diff tests/golden`): each difference breaks somebody.
"""

import asyncio

from tests.builders.authors import views_of
from tests.fakes.setups import mongomock_setup
from tests.golden.comparing import write_golden, write_typed
from tests.golden.life import joined, journal, life, readings, views
from tests.golden.serving import served
from tests.golden.walk import walk


async def main() -> None:
    async with served() as service:
        write_golden("answers.json", await walk(service))
    entries = life().entries
    documents = journal([*entries, *joined().entries])
    write_typed("entries.json", documents)
    setup = mongomock_setup()
    setup.store.append(entries)
    setup.store.write_views(views_of(*entries))
    write_typed("documents.json", [*views(entries), {"read": readings(setup)}])


if __name__ == "__main__":
    asyncio.run(main())
