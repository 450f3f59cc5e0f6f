#!/usr/bin/env python3
"""Says what Python's SQLite finds in the file store.db of a folder: a long-lived process for tests/crash.

  judge_sqlite.py SCRATCH

A state is the same if the file is sound and schema, settings and every row of every table are: keys, types, values,
vectors bit for bit. Of embedport's own table everything but the names of migrations, which follow from the clock. See
judging.py.
"""
import os, re, shutil, sqlite3

from judging import serve

OWN = "embedport_spaces"
SETTINGS = ["user_version", "application_id", "page_size", "encoding", "auto_vacuum"]
MIGRATION = re.compile(r"\d{8}T\d{9}-[0-9a-z]{8}$")


def quoted(name):
    return '"%s"' % name.replace('"', '""')


def value(v):
    return (type(v).__name__, v.hex() if isinstance(v, float) else v)


def rows(db, table):
    try:
        found = db.execute("SELECT rowid, * FROM %s" % quoted(table)).fetchall()
    except sqlite3.OperationalError:
        found = db.execute("SELECT * FROM %s" % quoted(table)).fetchall()
    return sorted((tuple(map(value, row)) for row in found), key=repr)


def own(db):
    found = db.execute("SELECT * FROM %s ORDER BY collection" % OWN)
    names = [column[0] for column in found.description]
    found = [dict(zip(names, row)) for row in found]
    for row in found:
        migration = row.pop("migration")
        if not MIGRATION.match(migration):
            raise ValueError("no migration is called so: %r" % migration)
    return sorted(tuple(sorted(row.items())) for row in found)


def state(folder, copy):
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.embedport"))
    db = sqlite3.connect(os.path.join(copy, "store.db"), isolation_level=None)
    db.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    try:
        for check in ("integrity_check", "foreign_key_check"):
            wrong = [row for row in db.execute("PRAGMA " + check) if row != ("ok",)]
            if wrong:
                raise ValueError("%s: %s" % (check, wrong[:3]))
        schema = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        found = {
            "schema": [row for row in schema if row[2] != OWN],
            "settings": [db.execute("PRAGMA " + name).fetchone() for name in SETTINGS],
        }
        for kind, name, _, sql in schema:
            if kind == "table":
                # What a virtual table holds lies in tables of its own.
                if not (sql or "").upper().startswith("CREATE VIRTUAL"):
                    found["table " + name] = own(db) if name == OWN else rows(db, name)
        return found
    finally:
        db.close()
        shutil.rmtree(copy, ignore_errors=True)


def difference(a, b):
    for name in sorted(set(a) | set(b)):
        x, y = a.get(name), b.get(name)
        if x is None or y is None:
            return "%s is in one only" % name
        if x != y:
            apart = sum(row not in y for row in x) + sum(row not in x for row in y)
            return "%s: %d and %d rows, of which %d are in one only" % (name, len(x), len(y), apart)
    return None


if __name__ == "__main__":
    serve(state, difference, lambda found: sum(len(rows) for name, rows in found.items() if name.startswith("table ")))
