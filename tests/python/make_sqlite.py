#!/usr/bin/env python3
"""Makes one SQLite file with vectors in it, through the real libraries (sqlite3, sqlite-vec, LangChain, LlamaIndex, Qdrant).

  make_sqlite.py OUT KIND [flags]     KIND: plain, pickle, vec0, vss, langchain, llamaindex, qdrant

Writes   OUT/store.db             the file (for qdrant and `llamaindex --on qdrant` the folder OUT/store)
         OUT/truth/NAME.json      table, columns, ids in order, texts, every other value; NAME is `main`, or `second`
         OUT/truth/NAME.npy       float32 vectors as they are stored, row i belongs to ids[i]
         OUT/everything.json      fingerprint of all that is not a vector
"""
import argparse, json, os, pickle, shutil, sys
import numpy as np
import sqlite_common as common
from sqlite_common import quote


def flags():
    p = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    p.add_argument("out")
    p.add_argument("kind", choices=["plain", "pickle", "vec0", "vss", "langchain", "llamaindex", "qdrant"])
    p.add_argument("--n", type=int, default=400, help="records before the deletions")
    p.add_argument("--dim", type=int, default=32)
    p.add_argument("--vectors", help=".npy with n rows; overrides --dim")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--table", help="name of the table")
    p.add_argument("--column", default="embedding", help="name of the vector column")
    p.add_argument("--no-holes", action="store_true", help="delete nothing")
    p.add_argument("--metric", default="l2", choices=["l2", "cosine", "l1"])
    p.add_argument("--wal", action="store_true")
    p.add_argument("--page-size", type=int, default=4096)
    p.add_argument("--force", action="store_true")
    g = p.add_argument_group("plain")
    g.add_argument("--encoding", default="f32", choices=["f32", "f64", "f16", "json", "npy", "int8", "vec_int8", "vec_bit"])
    g.add_argument("--key", default="integer", choices=["integer", "text", "composite", "without-rowid", "none"])
    g.add_argument("--strict", action="store_true")
    g.add_argument("--mixed", action="store_true", help="some rows of a second dimension, some NULL")
    g.add_argument("--fts", action="store_true", help="an FTS5 table over the texts, kept by triggers (integer key)")
    g.add_argument("--log", action="store_true", help="a trigger that notes each change of a vector in another table")
    g.add_argument("--around", action="store_true", help="a view, generated columns, a foreign key to the table, indexes, one on the vector")
    g.add_argument("--check", action="store_true", help="a CHECK on the length of the vector")
    g = p.add_argument_group("vec0")
    g.add_argument("--type", default="float", choices=["float", "int8", "bit"])
    g.add_argument("--id", default="integer", choices=["integer", "text", "none"])
    g.add_argument("--partition", action="store_true")
    g.add_argument("--metadata", action="store_true", help="metadata columns of the four types")
    g.add_argument("--aux", action="store_true", help="auxiliary columns")
    g.add_argument("--two", action="store_true", help="a second vector column, of 24 dimensions and cosine")
    g.add_argument("--chunk-size", type=int)
    p.add_argument_group("llamaindex").add_argument("--on", default="sqlalchemy", choices=["sqlalchemy", "qdrant"])
    return p.parse_args()


def finish(a, path, truths):
    """Writes the truths: name -> (description, vectors)."""
    os.makedirs(os.path.join(a.out, "truth"))
    hidden = set()
    for name, (t, v) in truths.items():
        hidden |= {(t["table"], x) for x in [t["column"]] + t.get("derived", [])}
        hidden |= {tuple(x) for x in t.get("also", [])}
        t = dict(t, kind=a.kind, dim=int(v.shape[1]), metric=t.get("metric", a.metric))
        json.dump(t, open(os.path.join(a.out, "truth", name + ".json"), "w"))
        np.save(os.path.join(a.out, "truth", name + ".npy"), v.astype(np.float32))
    if os.path.isfile(path):
        c = common.connect(path)
        rest = common.fingerprint(c, hidden)
        c.close()
        json.dump({"hidden": sorted(hidden), "rest": rest}, open(os.path.join(a.out, "everything.json"), "w"))


def make_plain(a, path, v):
    c = common.connect(path)
    c.executescript("pragma page_size = %d; pragma user_version = 7; pragma application_id = 1162694224; pragma foreign_keys = on;" % a.page_size)
    if a.wal:
        c.execute("pragma journal_mode = wal")
    t, e = quote(a.table), quote(a.column)
    kind = "text" if a.encoding == "json" else "blob"
    columns = {"integer": ["id integer primary key"], "text": ["id text primary key"], "without-rowid": ["id text primary key"],
               "composite": ["tenant text not null", "part integer not null"], "none": []}[a.key]
    columns += ["body text", "author text not null default 'nobody'", "rank integer", "weight real", "extra" + (" any" if a.strict else "")]
    check = " check (length(%s) = %d)" % (e, len(common.encode(a.encoding, v[0])[0])) if a.check else ""
    columns += ["%s %s%s" % (e, kind, check)] + ["scale real"] * (a.encoding == "int8")
    derived = ["scale"] * (a.encoding == "int8")
    if a.around:
        columns += ["bytes integer generated always as (length(%s)) virtual" % e, "head text generated always as (hex(substr(%s, 1, 4))) stored" % e]
        derived += ["bytes", "head"]
    columns += ["primary key (tenant, part)"] * (a.key == "composite")
    options = ["without rowid"] * (a.key == "without-rowid") + ["strict"] * a.strict
    c.execute("create table %s (%s) %s" % (t, ", ".join(columns), ", ".join(options)))
    key = {"integer": ["id"], "text": ["id"], "without-rowid": ["id"], "composite": ["tenant", "part"], "none": ["rowid"]}[a.key]

    def identity(i):
        if a.key == "composite":
            return [common.WORDS[i % 7], i]
        return [common.text_id(i)] if a.key in ("text", "without-rowid") else [i * 3 - 30]

    other = common.unit(len(v), a.dim + 16, a.seed + 1)
    rows = []
    for i in range(len(v)):
        value, scale = (pickle.dumps(v[i]), None) if a.kind == "pickle" else common.encode(a.encoding, v[i])
        if a.mixed and i % 5 == 4:
            value, scale = common.encode(a.encoding, other[i]) if i % 10 == 9 else (None, None)
        r = identity(i) + [common.body(i), common.WORDS[i % 26], i % 11 if i % 9 else None, i / 7, [None, b"\0\xff", "t", 5, 2.5][i % 5], value]
        rows.append(r + [scale] * (a.encoding == "int8"))
    names = key + ["body", "author", "rank", "weight", "extra", e] + ["scale"] * (a.encoding == "int8")
    insert = "insert into %s (%s) values (%s)" % (t, ", ".join(names), ", ".join("?" * len(names)))
    if a.fts:
        c.executescript("""
            create virtual table notes_fts using fts5(body, content=%(t)s, content_rowid='id');
            create trigger notes_ai after insert on %(t)s begin insert into notes_fts(rowid, body) values (new.id, new.body); end;
            create trigger notes_ad after delete on %(t)s begin
              insert into notes_fts(notes_fts, rowid, body) values ('delete', old.id, old.body); end;
            create trigger notes_au after update on %(t)s begin
              insert into notes_fts(notes_fts, rowid, body) values ('delete', old.id, old.body);
              insert into notes_fts(rowid, body) values (new.id, new.body); end;""" % {"t": t})
    c.executemany(insert, rows)
    gone = set() if a.no_holes else {i for i in range(len(v)) if i % 13 == 12 or 60 <= i < 75}
    for i in gone:
        c.execute("delete from %s where %s" % (t, " and ".join("%s = ?" % k for k in key)), identity(i))
    if a.around:
        c.executescript("""
            create view notes_view as select %(k)s, body, length(%(e)s) as size from %(t)s where %(e)s is not null;
            create index notes_by_author on %(t)s(author, rank);
            create index notes_by_size on %(t)s(length(%(e)s));
            create unique index notes_by_vector on %(t)s(hex(%(e)s), %(k)s);""" % {"t": t, "e": e, "k": ", ".join(k for k in key if k != "rowid") or "author"})
        if a.key != "none":
            c.execute("create table replies (reply integer primary key, %s, foreign key (%s) references %s(%s) on delete cascade on update cascade)"
                      % (", ".join(key), ", ".join(key), t, ", ".join(key)))
            c.executemany("insert into replies (%s) values (%s)" % (", ".join(key), ", ".join("?" * len(key))), [identity(i) for i in range(40) if i not in gone])
    if a.log:
        c.executescript("""create table notes_log (entry integer primary key autoincrement, what text);
            create trigger notes_changed after update of %s on %s begin insert into notes_log(what) values (new.author); end;""" % (e, t))
    c.commit()
    kept = [i for i in range(len(v)) if i not in gone]
    main = [i for i in kept if not (a.mixed and i % 5 == 4)]
    others = names[len(key) + 1:len(key) + 5]
    truth = {"table": a.table, "column": a.column, "encoding": a.encoding, "key": key, "text": "body", "derived": derived,
             "ids": [identity(i) for i in main], "texts": [common.body(i) for i in main],
             "others": {n: [common.plain(rows[i][names.index(n)]) for i in main] for n in others},
             # of another dimension, or without a vector: to be left as they are
             "rest": [[identity(i), common.plain(rows[i][names.index(e)])] for i in kept if i not in set(main)]}
    stored = v[main] if a.kind == "pickle" else common.representable(a.encoding, v[main])
    finish(a, path, {"main": (truth, stored)})
    if a.wal:
        # What a program that still runs leaves: the last pages are in the -wal file only.
        other = common.connect(path)
        other.execute("select count(*) from sqlite_master").fetchone()
        c.close()
        for end in ("", "-wal"):
            shutil.copyfile(path + end, path + end + ".kept") if os.path.exists(path + end) else None
        other.close()
        for end in ("", "-wal"):
            if os.path.exists(path + end + ".kept"):
                os.replace(path + end + ".kept", path + end)
    else:
        c.close()


def make_vec0(a, path, v):
    c = common.connect(path)
    c.execute("pragma page_size = %d" % a.page_size)
    if a.wal:
        c.execute("pragma journal_mode = wal")
    metric = " distance_metric=" + a.metric if a.type != "bit" and a.metric != "l2" else ""
    columns = {"integer": ["id integer primary key"], "text": ["id text primary key"], "none": []}[a.id]
    columns += ["tenant text partition key"] * a.partition
    columns += ["%s %s[%d]%s" % (a.column, a.type, a.dim, metric)]
    columns += ["tag text", "n integer", "score float", "flag boolean"] * a.metadata
    columns += ["title_embedding float[24] distance_metric=cosine"] * a.two
    columns += ["+body text", "+extra blob"] * a.aux
    columns += ["chunk_size=%d" % a.chunk_size] if a.chunk_size else []
    c.execute("create virtual table %s using vec0(\n  %s\n)" % (quote(a.table), ",\n  ".join(columns)))
    encoding = {"float": "f32", "int8": "vec_int8", "bit": "vec_bit"}[a.type]
    stored = common.representable(encoding, v)
    second = common.unit(len(v), 24, a.seed + 2)
    key = "id" if a.id != "none" else "rowid"
    ids = [common.text_id(i) if a.id == "text" else i * 3 - 30 for i in range(len(v))]
    tags = ["s", "", "exactly12chr", "thirteen char", "\u00e9\u00e8\u00ea \u65e5\u672c\u8a9e \u2014 a longer text", "a nul \0 inside of it"]
    values = {key: ids, "tenant": [common.WORDS[i % 5] if i % 50 else None for i in range(len(v))],
              "tag": [tags[i % len(tags)] for i in range(len(v))], "n": [i * 2**40 - 5 for i in range(len(v))],
              "score": [i / 7 for i in range(len(v))], "flag": [i % 2 for i in range(len(v))],
              "body": [common.body(i) for i in range(len(v))], "extra": [None if i % 3 else bytes([i % 256, 0]) for i in range(len(v))]}
    others = ["tenant"] * a.partition + ["tag", "n", "score", "flag"] * a.metadata + ["body", "extra"] * a.aux
    place = {"float": "?", "int8": "vec_int8(?)", "bit": "vec_bit(?)"}[a.type]
    names = [key, a.column] + others + ["title_embedding"] * a.two
    insert = "insert into %s (%s) values (?, %s%s)" % (quote(a.table), ", ".join(names), place, ", ?" * (len(names) - 2))

    def row(i):
        return ([ids[i], common.encode(encoding, stored[i])[0]] + [values[n][i] for n in others] +
                [second[i].tobytes()] * a.two)

    c.executemany(insert, (row(i) for i in range(len(v))))
    gone = set() if a.no_holes else {i for i in range(len(v)) if i % 7 == 6 or 40 <= i < 60}
    c.executemany("delete from %s where %s = ?" % (quote(a.table), key), [(ids[i],) for i in sorted(gone)])
    again = {i for i in gone if 50 <= i < 55}       # back, in slots that were others'
    c.executemany(insert, (row(i) for i in sorted(again)))
    c.execute("create table beside (k integer primary key, note text)")
    c.execute("insert into beside(note) values ('untouched')")
    c.commit()
    c.close()
    kept = [i for i in range(len(v)) if i not in gone or i in again]
    shared = {"table": a.table, "key": [key], "text": "body" if a.aux else None, "ids": [[ids[i]] for i in kept],
              "texts": [values["body"][i] for i in kept] if a.aux else None, "partition": "tenant" if a.partition else None,
              "others": {n: [common.plain(values[n][i]) for i in kept] for n in others}, "rest": []}
    truths = {"main": (dict(shared, column=a.column, encoding=encoding, metric="hamming" if a.type == "bit" else a.metric), stored[kept])}
    if a.two:
        truths["second"] = (dict(shared, column="title_embedding", encoding="f32", metric="cosine"), second[kept])
    finish(a, path, truths)


def make_vss(a, path, v):
    """What LangChain's SQLiteVSS leaves, with the tables of sqlite-vss 0.1.2 but no index in them: that package runs on
    few machines now. It has no truth: there is nothing to be done to such a file."""
    c = common.connect(path, extension=False)
    c.executescript("""
        create table notes (rowid integer primary key autoincrement, text text, metadata blob, text_embedding blob);
        create table "vss_notes_index"(rowid integer primary key autoincrement, idx);
        create table "vss_notes_data"(rowid integer primary key autoincrement, _);
        pragma writable_schema = on;
        insert into sqlite_master (type, name, tbl_name, rootpage, sql)
          values ('table', 'vss_notes', 'vss_notes', 0, 'CREATE VIRTUAL TABLE vss_notes USING vss0(text_embedding(%d))');""" % a.dim)
    c.executemany("insert into notes (text, metadata, text_embedding) values (?, '{}', ?)", [(common.body(i), v[i].tobytes()) for i in range(len(v))])
    c.execute("""create trigger embed_text after insert on notes begin
        insert into vss_notes(rowid, text_embedding) values (new.rowid, new.text_embedding); end""")
    c.commit()
    c.close()


def main():
    a = flags()
    if os.path.exists(a.out):
        if not a.force:
            sys.exit("exists: " + a.out)
        shutil.rmtree(a.out)
    os.makedirs(a.out)
    a.table = a.table or {"vec0": "items", "langchain": "langchain"}.get(a.kind, "notes")
    v = np.load(a.vectors)[:a.n].astype(np.float32) if a.vectors else common.unit(a.n, a.dim, a.seed)
    a.dim = v.shape[1]
    path = os.path.join(a.out, "store.db")
    if a.kind in ("plain", "pickle"):
        make_plain(a, path, v)
    elif a.kind == "vec0":
        make_vec0(a, path, v)
    elif a.kind == "vss":
        make_vss(a, path, v)
    else:
        import sqlite_frameworks
        path, truths = sqlite_frameworks.MAKERS[a.kind](a, path, v)
        finish(a, path, truths)
    print(json.dumps({"path": path if os.path.exists(path) else os.path.join(a.out, "store")}))


if __name__ == "__main__":
    main()
