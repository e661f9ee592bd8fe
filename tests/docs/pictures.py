"""The pictures of the pages. `python -m tests.docs.pictures` writes them to docs/pictures."""

from pathlib import Path

from tests.docs.drawing import Arrow, Box, Picture

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"

OVERVIEW = Picture(
    "overview",
    "Requests reach one shard, which appends to the journal before it answers",
    [
        Box("callers", "Applications\nHTTP · Python", 0, 0, "outside"),
        Box("stripe", "Stripe\nwebhook", 0, 2, "outside"),
        Box("edge", "HTTP replicas\nkeys, limits, routes", 1.1, 0, "step"),
        Box("shard", "Shard 1 … N\none writer per user", 2.3, 0, "actor"),
        Box("stripes", "StripeActor", 1.1, 2, "actor"),
        Box("journal", "Journal\nin MongoDB", 3.6, 0, "store"),
        Box("views", "Views\nsubscriptions, days,\nusages, events", 3.6, 1, "store"),
        Box("sync", "SyncActor", 2.3, 1, "actor"),
        Box("janitor", "JanitorActor\ncompare, expire, trim", 1.1, 1, "actor"),
        Box("events", "EventActor\nwebhooks, mail", 3.6, 2, "actor"),
        Box("others", "Other programs", 4.9, 1, "outside"),
    ],
    [
        Arrow("callers", "edge"),
        Arrow("edge", "shard", "calls"),
        Arrow("shard", "journal", "1 append", 0.3),
        Arrow("journal", "shard", at=0.7),
        Arrow("shard", "views", "2 flush"),
        Arrow("stripe", "stripes"),
        Arrow("stripes", "shard"),
        Arrow("janitor", "shard"),
        Arrow("others", "views", "edits"),
        Arrow("views", "sync", "changes", 0.8),
        Arrow("sync", "shard"),
        Arrow("views", "events"),
    ],
)

ACCOUNT = Picture(
    "account",
    "An account: subscriptions with grants, days and holds; packs; remembered keys; one number",
    [
        Box("account", "Account of one user", 0, 0, "room", 5, 3.1),
        Box("subscription", "Subscription\nstart, end, status", 0.2, 0.6, "actor"),
        Box("grants", "Grants\namount over days", 1.5, 0.6),
        Box("day", "Day\nused, held, inherited", 2.8, 0.6, "good"),
        Box("packs", "Packs\npriority, expiry", 0.2, 1.9, "actor"),
        Box("holds", "Holds\nset aside until …", 2.8, 1.9, "good"),
        Box("keys", "First answers\nby idempotency key", 4, 0.6),
        Box("seq", "seq\nlast entry's number", 4, 1.9, "store"),
    ],
    [
        Arrow("subscription", "grants", "has"),
        Arrow("grants", "day", "slices"),
        Arrow("holds", "day", "count as used"),
        Arrow("holds", "packs", "or take from"),
    ],
)

DECISION = Picture(
    "decision",
    "decide takes account, command and time and gives an entry or a refusal; evolve applies it",
    [
        Box("account", "Account\nas of now", 0, 0, "actor"),
        Box("command", "Command\nRecordUsage, Hold …", 0, 1, "outside"),
        Box("decide", "decide\npure: no clock, no I/O", 1.3, 0.5, "good"),
        Box("entry", "Entry\nwhat happened", 2.6, 0, "store"),
        Box("refusal", "Rejection\nwhy not", 2.6, 1, "bad"),
        Box("evolve", "evolve\ncannot refuse", 3.9, 0, "good"),
        Box("next", "Account\nseq + 1", 5.2, 0, "actor"),
        Box("replay", "Journal\nat recovery", 3.9, 1, "store"),
    ],
    [
        Arrow("account", "decide"),
        Arrow("command", "decide"),
        Arrow("decide", "entry"),
        Arrow("decide", "refusal"),
        Arrow("entry", "evolve"),
        Arrow("evolve", "next"),
        Arrow("replay", "evolve", "the same", dashed=True),
    ],
)

LOOP = Picture(
    "loop",
    "The loop of a shard: gather, set aside, decide, append, publish, reply, then views",
    [
        Box("gather", "1 gather\nwhat has arrived", 0, 0),
        Box("load", "2 set aside\nwhom RAM lacks", 1.2, 0),
        Box("decide", "3 decide\non a draft, in order", 2.4, 0, "good"),
        Box("append", "4 append\nall entries, in order", 3.6, 0, "store"),
        Box("publish", "5 publish\ndraft becomes RAM", 3.6, 1.2, "actor"),
        Box("reply", "6 reply\nto every caller", 0, 1.2, "actor"),
        Box("views", "7 views\nbehind, in one flush", 0, 2.2, "store"),
        Box("forget", "forget\nand look up keys", 4.9, 0, "bad"),
    ],
    [
        Arrow("gather", "load"),
        Arrow("load", "decide"),
        Arrow("decide", "append"),
        Arrow("append", "publish", "durable"),
        Arrow("publish", "reply"),
        Arrow("reply", "gather", "next batch"),
        Arrow("reply", "views"),
        Arrow("append", "forget", "doubt", dashed=True),
    ],
)

JOURNAL = Picture(
    "journal",
    "The mark says up to which entry the views are complete; a loader replays the entries after it",
    [
        Box("seqs", "allotment_journal of one user", 0, 0, "room", 4.9, 1.6),
        *(Box(f"e{n}", f"{n}", (n - 1) * 0.8 + 0.1, 0.5, "store", 0.85, 0.9) for n in range(1, 5)),
        *(Box(f"e{n}", f"{n}", (n - 1) * 0.8 + 0.1, 0.5, "bad", 0.85, 0.9) for n in (5, 6)),
        Box("views", "Views\nwith entries 1 to 4", 0.6, 2, "good", 1.2),
        Box("mark", "Mark\napplied_seq 4", 2.4, 2, "store"),
        Box("account", "Account\nviews + 5 + 6", 4.1, 2, "actor"),
    ],
    [
        Arrow("e2", "views"),
        Arrow("mark", "views", "one transaction", both=True),
        Arrow("mark", "account", "replay after"),
        Arrow("e6", "account"),
    ],
)

DOUBT = Picture(
    "doubt",
    "An append is done, refused, or in doubt; in doubt the shard forgets and asks for the keys",
    [
        Box("append", "append", 0, 1, "store"),
        Box("done", "done\npublish, reply", 1.4, 0, "good"),
        Box("refused", "refused\nnumber or key is taken", 1.4, 1, "actor"),
        Box("doubt", "in doubt\nno answer", 1.4, 2, "bad"),
        Box("reload", "reload that account\ndecide again", 2.8, 1, "actor"),
        Box("lookup", "forget the accounts\nask for the keys", 2.8, 2, "actor"),
        Box("landed", "landed\nfirst answer", 4.2, 1.5, "good"),
        Box("not", "not there\ndecide again", 4.2, 2.5, "good"),
    ],
    [
        Arrow("append", "done"),
        Arrow("append", "refused"),
        Arrow("append", "doubt"),
        Arrow("refused", "reload"),
        Arrow("doubt", "lookup"),
        Arrow("lookup", "landed"),
        Arrow("lookup", "not"),
    ],
)

ROUTING = Picture(
    "routing",
    "A user's id gives a slot, the directory gives its shard, a lane carries the calls there",
    [
        Box("user", "user id\nada", 0, 0, "outside"),
        Box("slot", "Slot\ndigest mod 4096", 1.2, 0),
        Box("directory", "Directory\nslot → shard, version", 2.4, 0, "store"),
        Box("router", "Router\nrepeats, follows moves", 1.2, 1.2, "actor"),
        Box("lane", "Lane\none per shard", 2.4, 1.2, "actor"),
        Box("wire", "Wire\nTCP, or a Ray message", 3.6, 1.2),
        Box("shard", "Shard\nshard-003", 4.8, 1.2, "actor"),
        Box("calls", "calls\nof many requests", 0, 1.2, "outside"),
    ],
    [
        Arrow("user", "slot"),
        Arrow("slot", "directory"),
        Arrow("calls", "router"),
        Arrow("directory", "lane", "whose slot"),
        Arrow("router", "lane"),
        Arrow("lane", "wire", "envelope"),
        Arrow("wire", "shard"),
    ],
)

LEASE = Picture(
    "lease",
    "The old incarnation stops answering when its lease lapses; the new one answers after that",
    [
        Box("old", "old process\nepoch 7, answers", 0, 0, "actor", 1.2),
        Box("cut", "cut off\nrenewal fails", 1.5, 0, "bad", 1.2),
        Box("lapsed", "lease lapsed\nanswers nothing, ends", 3, 0, "outside", 1.2),
        Box("new", "new process\nraises epoch to 8", 1.5, 1.3, "actor", 1.2),
        Box("waits", "waits\nup to 12 s", 3, 1.3, "outside", 1.2),
        Box("answers", "answers\nepoch 8", 4.5, 1.3, "good", 1.2),
    ],
    [
        Arrow("old", "cut"),
        Arrow("cut", "lapsed", "12 s"),
        Arrow("new", "waits"),
        Arrow("waits", "answers"),
        Arrow("cut", "new", "Ray starts"),
        Arrow("lapsed", "waits", "surely over"),
    ],
)

FOLLOWING = Picture(
    "following",
    "Another program's change comes through one change stream to the shard that owns the user",
    [
        Box("others", "Other programs\nMongoose, scripts", 0, 0, "outside"),
        Box("views", "Shared collections\nsubscriptions, packs …", 1.2, 0, "store"),
        Box("stream", "Change stream\nwithout our writes", 2.4, 0),
        Box("sync", "SyncActor\nwhose document?", 3.6, 0, "actor"),
        Box("shard", "Shard\nforgets, reloads", 3.6, 1.2, "actor"),
        Box("state", "allotment_sync_state\nbeat, resume token", 2.4, 1.2, "store"),
        Box("read", "reads through\nif beats stop", 4.9, 1.2, "bad"),
    ],
    [
        Arrow("others", "views", "edit"),
        Arrow("views", "stream"),
        Arrow("stream", "sync"),
        Arrow("sync", "shard", "news", 0.35),
        Arrow("shard", "sync", at=0.75),
        Arrow("state", "stream", "beats", both=True),
        Arrow("shard", "read", dashed=True),
    ],
)

EDGE = Picture(
    "edge",
    "HAProxy bounds connections, the gate decides who may call, the shortcut answers hot calls",
    [
        Box("haproxy", "HAProxy\nconnections, 512 writes", 0, 0.5, "outside"),
        Box("gate", "Gate\nhead, caller, body", 1.2, 0.5, "bad"),
        Box("hot", "Shortcut\nstatus, usage", 2.5, 0, "good"),
        Box("serve", "Serve and FastAPI\nroutes by resource", 2.5, 1, "step"),
        Box("router", "Router", 3.8, 0, "actor"),
        Box("lists", "Lists\na process of its own", 3.8, 1, "actor"),
        Box("problems", "Problem bodies\none code per error", 1.2, 1.6, "outside"),
    ],
    [
        Arrow("haproxy", "gate"),
        Arrow("gate", "hot"),
        Arrow("gate", "serve"),
        Arrow("hot", "router"),
        Arrow("serve", "router"),
        Arrow("serve", "lists"),
        Arrow("gate", "problems", "refused", dashed=True),
    ],
)

JANITOR = Picture(
    "janitor",
    "The janitor claims a run, does one of its jobs, and leaves a report",
    [
        Box("cron", "Cron lines\nin the set zone", 0, 1, "outside"),
        Box("agenda", "Agenda\nclaims one run", 1.2, 1, "store"),
        Box("sweep", "Sweep\nRAM = MongoDB?", 2.5, 0, "actor"),
        Box("expire", "Expire\nends, packs, holds", 2.5, 1, "actor"),
        Box("trim", "Trim\nold entries", 2.5, 2, "actor"),
        Box("shard", "Shards\ndecide and enter", 3.8, 1, "actor"),
        Box("report", "allotment_sweeps\ndrift, quarantined", 3.8, 0, "store"),
        Box("journal", "Journal", 3.8, 2, "store"),
    ],
    [
        Arrow("cron", "agenda"),
        Arrow("agenda", "sweep"),
        Arrow("agenda", "expire"),
        Arrow("agenda", "trim"),
        Arrow("sweep", "report"),
        Arrow("expire", "shard", "commands"),
        Arrow("trim", "journal"),
    ],
)

EVENTS = Picture(
    "events",
    "Events ride in the entry, get a place from the relay, and reach each handler by itself",
    [
        Box("entry", "Entry\nwith its events", 0, 0.5, "store"),
        Box("flush", "Flush\nwith the account's mark", 1.2, 0.5),
        Box("outbox", "allotment_events\nwithout a place", 2.4, 0.5, "store"),
        Box("relay", "Relay\ngives places", 3.6, 0.5, "actor"),
        Box("webhook", "Webhooks", 4.9, 0, "outside"),
        Box("mail", "Mail, profile,\nfeatures, log", 4.9, 1, "outside"),
        Box("done", "Consumer's place\nand dead letters", 3.6, 1.6, "store"),
    ],
    [
        Arrow("entry", "flush"),
        Arrow("flush", "outbox"),
        Arrow("outbox", "relay"),
        Arrow("relay", "webhook"),
        Arrow("relay", "mail"),
        Arrow("relay", "done", both=True),
    ],
)

STRIPE = Picture(
    "stripe",
    "A Stripe event is stored, then applied to a record, from which shards are told",
    [
        Box("stripe", "Stripe", 0, 0.5, "outside"),
        Box("webhook", "Webhook\nchecks the signature", 1.2, 0.5),
        Box("stored", "allotment_stripe_events\nstored, answered 200", 2.4, 0.5, "store", 1.15),
        Box("actor", "StripeActor\nprecedence, or asks", 3.8, 0.5, "actor"),
        Box("record", "Record\nof one subscription", 3.8, 1.7, "store"),
        Box("shard", "Shard\nkeys from the record", 5.1, 0.5, "actor"),
        Box("parked", "parked\nnobody's yet", 5.1, 1.7, "bad"),
    ],
    [
        Arrow("stripe", "webhook"),
        Arrow("webhook", "stored"),
        Arrow("stored", "actor"),
        Arrow("actor", "record", "save first", both=True),
        Arrow("actor", "shard", "commands"),
        Arrow("record", "parked", dashed=True),
    ],
)

PROCESSES = Picture(
    "processes",
    "A start prepares the database, starts Ray, the actors and Serve; the supervisor watches them",
    [
        Box("up", "allotment up\nlaunch", 0, 1, "step"),
        Box("database", "Embedded database\nand its keeper", 1.3, 0, "store"),
        Box("ray", "Ray\ntoken, loopback", 1.3, 1, "outside"),
        Box("serve", "Serve, HAProxy\nreplicas", 1.3, 2, "outside"),
        Box("shards", "ShardActor 1 … N", 2.7, 0, "actor"),
        Box("singles", "Singleton actors\nSync, Janitor, Events,\nStripe, Lists", 2.7, 1, "actor"),
        Box("supervisor", "Supervisor\none look a second", 4, 0.5, "bad"),
    ],
    [
        Arrow("up", "database"),
        Arrow("up", "ray"),
        Arrow("up", "serve"),
        Arrow("ray", "singles", "detached"),
        Arrow("ray", "shards"),
        Arrow("supervisor", "singles"),
        Arrow("supervisor", "shards"),
    ],
)

FLOORS = [  # From the top down: boxes of one row do not import each other.
    [("cli: commands", "step")],
    [("serving: Serve", "step"), ("client: Python", "step"), ("embedded", "step")],
    [("remote: all that is Ray about actors", "outside")],
    [("edge: HTTP", "bad"), ("mongo: all of PyMongo", "store")],
    [("cluster: slots, moves", "step"), ("routing: router, lane, wire", "step")],
    [("sync", "actor"), ("stripe", "actor"), ("events", "actor"), ("janitor", "actor")],
    [("shard: one single writer", "actor")],
    [("runtime: loops, clock, counters", "step"), ("auth: keys, tokens", "step")],
    [("protocol: calls, errors, the store's port", "step")],
    [("domain: the rules, pure", "good")],
]
HOUSE = Picture(
    "house",
    "The folders of actors, each importing only what stands below it",
    [
        Box(text, text, place * 3 / len(floor), 0.74 * row, kind, 3 / len(floor), 0.74)
        for row, floor in enumerate(FLOORS)
        for place, (text, kind) in enumerate(floor)
    ],
)

SEEDS = Picture(
    "seeds",
    "One seed decides faults and order; an auditor with its own books checks every entry",
    [
        Box("seed", "Seed\n392", 0, 0.5, "outside"),
        Box("world", "Virtual time\none loop, no sleep", 1.2, 0.5),
        Box("code", "The shipped code\nshards, router, sync", 2.4, 0, "actor"),
        Box("faults", "Faults\nlost, late, twice", 2.4, 1, "bad"),
        Box("database", "Database in memory\nmajorities, streams", 3.7, 0.5, "store"),
        Box("auditor", "Auditor\nbooks of its own", 5, 0.5, "good"),
    ],
    [
        Arrow("seed", "world"),
        Arrow("world", "code"),
        Arrow("world", "faults"),
        Arrow("code", "database"),
        Arrow("faults", "database"),
        Arrow("database", "auditor"),
    ],
)

PICTURES = [value for value in dict(globals()).values() if isinstance(value, Picture)]


def write() -> None:
    """Write every picture."""
    for picture in PICTURES:
        (FOLDER / f"{picture.name}.svg").write_text(picture.svg())


if __name__ == "__main__":
    write()
