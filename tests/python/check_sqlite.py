#!/usr/bin/env python3
"""Asks the real libraries about a file of make_sqlite.py, after whatever was done to its vectors.

  check_sqlite.py DB TRUTH KIND [--vectors NEW.npy]      TRUTH: OUT/truth/NAME.json, or OUT/truth for its `main`

1. every record of TRUTH has the vector of NEW.npy in its row (without it: TRUTH's own), within what the encoding leaves
2. nothing else changed: ids, texts, all other columns and tables, schema, settings; other vector columns as they were,
   or as `--also NAME=NEW.npy` says; a table `embedport_spaces` is allowed
3. the file is sound, and searching through the library finds what exact search finds
4. it can be extended: insert, update, delete, found by search; another dimension is refused where the library does

All of it on a copy. Prints one line of JSON and exits with 0; what is wrong goes to standard error.
"""
import argparse, json, os, pickle, shutil, sqlite3, sys, tempfile
import numpy as np
import sqlite_common as common
from sqlite_common import quote


def load(path, vectors=None):
    t = json.load(open(path))
    v = np.load(vectors or path[:-5] + ".npy").astype(np.float32)
    if v.ndim != 2 or len(v) != len(t["ids"]):
        sys.exit("%s: vectors %s do not fit %d ids" % (vectors or path, v.shape, len(t["ids"])))
    return t, v if t["kind"] == "pickle" else common.representable(t["encoding"], v)


def read(t, value, scale):
    return pickle.loads(value) if t["kind"] == "pickle" else common.decode(t["encoding"], value, scale)


def rows(c, t, v, errors, factor):
    """Every record of the truth is there with its vector, and no other."""
    scale = "scale" if t["encoding"] == "int8" else "null"
    names = list(t["others"])
    chosen = t["key"] + [t["text"] or "null", quote(t["column"]), scale] + [quote(n) for n in names]
    found = {}
    for r in c.execute("select %s from %s" % (", ".join(chosen), quote(t["table"]))):
        found[tuple(r[:len(t["key"])])] = r[len(t["key"]):]
    wanted = {tuple(i) for i in t["ids"]} | {tuple(i) for i, _ in t["rest"]}
    if set(found) != wanted:
        errors.append("%d records are missing, %d were never there" % (len(wanted - set(found)), len(set(found) - wanted)))
        return
    for i, value in t["rest"]:
        if common.plain(found[tuple(i)][1]) != value:
            errors.append("a value of another dimension, or none, was changed")
            break
    limit, worst, wrong = factor * common.tolerance(t["encoding"], v), 0.0, 0
    for k, i in enumerate(t["ids"]):
        text, value, s, *others = found[tuple(i)]
        if t["texts"] and text != t["texts"][k]:
            errors.append("record %d: another text" % k)
        if [common.plain(x) for x in others] != [t["others"][n][k] for n in names]:
            errors.append("record %d: another value in %s" % (k, names))
        try:
            w = read(t, value, s)
        except Exception as e:
            errors.append("record %d: the vector cannot be read: %s" % (k, str(e)[:100]))
            continue
        if w.shape != v[k].shape:
            errors.append("record %d: %d dimensions, expected %d" % (k, len(w), v.shape[1]))
        elif not np.all(np.abs(w - v[k]) <= limit):
            wrong, worst = wrong + 1, max(worst, float(np.abs(w - v[k]).max()))
        if len(errors) > 20:
            return
    if wrong:
        errors.append("%d of %d vectors are wrong, by up to %.3g; allowed is %.3g" % (wrong, len(v), worst, limit))


def unchanged(c, everything, ignored, errors):
    was, hidden = everything["rest"], {tuple(x) for x in everything["hidden"]}
    now = common.fingerprint(c, hidden)
    for part in was:
        for name in sorted(set(was[part]) | set(now[part])):
            if name.split(" ")[-1] not in ignored and was[part].get(name) != now[part].get(name):
                errors.append("%s, %s: %s, was %s" % (part, name, now[part].get(name), was[part].get(name)))


def sound(c, errors):
    for pragma, good in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
        found = c.execute("pragma " + pragma).fetchall()
        if found != good:
            errors.append("%s: %s" % (pragma, found[:3]))
    for name, sql, virtual in common.tables(c):
        if virtual and "fts5" in sql.lower():
            try:
                c.execute("insert into %s(%s) values ('integrity-check')" % (quote(name), quote(name)))
            except sqlite3.DatabaseError as e:
                errors.append("the full-text table: %s" % e)
    c.rollback()


def nearest(c, t, q, k, partition=None):
    """Ids and distances of the k records nearest to the vector `q`, by the extension."""
    table, column = quote(t["table"]), quote(t["column"])
    value = common.encode(t["encoding"], q)[0]
    place = {"vec_int8": "vec_int8(?)", "vec_bit": "vec_bit(?)"}.get(t["encoding"], "?")
    if t["kind"] == "vec0":
        where = " and %s = ?" % t["partition"] if partition is not None else ""
        sql = "select %s, distance from %s where %s match %s and k = ?%s" % (t["key"][0], table, column, place, where)
        return c.execute(sql, [value, k] + [partition] * (partition is not None)).fetchall()
    if t["encoding"] in ("f32", "json") and t["kind"] == "plain":
        function = {"l2": "vec_distance_l2", "l1": "vec_distance_l1", "cosine": "vec_distance_cosine"}[t["metric"]]
        # Records of another dimension are left out, as the program that owns such a table has to.
        same = "case when vec_length(%s) = vec_length(?1) then %s(%s, ?1) end" % (column, function, column)
        sql = "select %s, %s as distance from %s where %s is not null and distance is not null order by distance limit ?2" % (t["key"][0], same, table, column)
        return c.execute(sql, [value, k]).fetchall()
    got = c.execute("select %s, %s, %s from %s where %s is not null" % (t["key"][0], column, "scale" if t["encoding"] == "int8" else "null", table, column))
    got = [(r[0], w) for r in got for w in [read(t, r[1], r[2])] if w.shape == q.shape]
    d = common.distances(t["metric"], q, np.stack([w for _, w in got]))
    return [(got[x][0], float(d[x])) for x in np.argsort(d, kind="stable")[:k]]


def search(c, t, v, errors):
    slack = 2e-3 if t["kind"] == "vec0" or t["encoding"] != "int8" else 2e-2
    for x in range(0, len(v), max(1, len(v) // 12)):
        wanted = np.sort(common.distances(t["metric"], v[x], v))[:10]
        found = [d for _, d in nearest(c, t, v[x], 10)]
        if len(found) != len(wanted) or not np.allclose(found, wanted, rtol=slack, atol=slack * max(1.0, float(wanted.max()))):
            errors.append("search for record %d: distances %s, expected %s" % (x, found, wanted.tolist()))
        name = t.get("partition")
        if t["kind"] == "vec0" and name and t["others"][name][x] is not None:
            inside = [k for k, p in enumerate(t["others"][name]) if p == t["others"][name][x]]
            wanted = np.sort(common.distances(t["metric"], v[x], v[inside]))[:10]
            found = [d for _, d in nearest(c, t, v[x], 10, t["others"][name][x])]
            if not np.allclose(found, wanted, rtol=slack, atol=slack):
                errors.append("search in a partition: distances %s, expected %s" % (found, wanted.tolist()))


def fresh(t, dim, seed):
    v = np.random.RandomState(seed).randn(1, dim).astype(np.float32)
    v /= np.linalg.norm(v)
    return common.representable(t["encoding"], v)[0]


def extend(c, t, v, second, errors):
    """One record more, one other, one less; `second` is what other vector columns hold: column -> vectors."""
    table, column, key = quote(t["table"]), quote(t["column"]), t["key"][0]
    place = {"vec_int8": "vec_int8(?)", "vec_bit": "vec_bit(?)"}.get(t["encoding"], "?") if t["kind"] == "vec0" else "?"
    sample = {n: x[0] for n, x in t["others"].items()}
    sample = {n: bytes.fromhex(x["blob"]) if isinstance(x, dict) else x for n, x in sample.items()}

    def row(number, q):
        value, scale = common.encode(t["encoding"], q)
        r = dict(sample, **{t["column"]: value}, **{n: w[0].tobytes() for n, w in second.items()})
        for name in t["key"]:
            text = name == "tenant" or isinstance(t["ids"][0][t["key"].index(name)], str)
            r[name] = "brand-new-%d" % number if text else 10**9 + number
        r.update({"scale": scale} if scale is not None else {})
        r.update({t["text"]: "brandnew text"} if t["text"] else {})
        names = list(r)
        return ("insert into %s (%s) values (%s)" % (table, ", ".join(map(quote, names)), ", ".join(place if n == t["column"] else "?" for n in names)),
                list(r.values())), r[key]

    def first(q, wanted, what):
        found = nearest(c, t, q, 1)
        if not found or found[0][0] != wanted or found[0][1] > 0.02 * len(q) ** 0.5:
            errors.append("%s: search for it gives %s" % (what, found))

    with c:
        q = fresh(t, v.shape[1], 1)
        statement, wanted = row(1, q)
        c.execute(*statement)
        first(q, wanted, "the inserted record")
        q = fresh(t, v.shape[1], 2)
        value, scale = common.encode(t["encoding"], q)
        scaled = ", scale = %r" % scale if scale is not None else ""
        if place == "?":
            c.execute("update %s set %s = ?%s where %s = ?" % (table, column, scaled, key), (value, wanted))
        else:       # an UPDATE forgets that a value is int8 or bit, so sqlite-vec refuses it
            c.execute("delete from %s where %s = ?" % (table, key), (wanted,))
            c.execute(*row(1, q)[0])
        first(q, wanted, "the updated record")
        if "notes_fts" in [n for n, _, _ in common.tables(c)]:
            if c.execute("select rowid from notes_fts where notes_fts match 'brandnew'").fetchall() != [(wanted,)]:
                errors.append("the inserted text is not found by its words")
        c.execute("delete from %s where %s = ?" % (table, key), (wanted,))
        if any(i == wanted for i, _ in nearest(c, t, q, 3)):
            errors.append("the deleted record is still found")
    sql = c.execute("select sql from sqlite_master where name = ?", (t["table"],)).fetchone()[0]
    words = "Dimension mismatch" if t["kind"] == "vec0" else "CHECK constraint failed" if "check (" in sql else None
    if words:
        try:
            c.execute(*row(3, fresh(t, v.shape[1] + 8, 3))[0])
            errors.append("a vector of another dimension was not refused")
        except sqlite3.Error as e:
            if words not in str(e):
                errors.append("a vector of another dimension was refused with: %s" % e)
        c.rollback()


def main():
    p = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    p.add_argument("db")
    p.add_argument("truth")
    p.add_argument("kind")
    p.add_argument("--vectors")
    p.add_argument("--also", action="append", default=[], help="NAME=NEW.npy: vectors of another truth beside TRUTH")
    p.add_argument("--ignore-table", action="append", default=[], help="a table that may have changed")
    p.add_argument("--factor", type=float, default=1.0, help="of the largest difference that an encoding may leave")
    p.add_argument("--no-extend", action="store_true")
    a = p.parse_args()
    if os.path.isdir(a.truth):
        a.truth = os.path.join(a.truth, "main.json")
    folder, errors = os.path.dirname(os.path.abspath(a.truth)), []
    also = dict(x.split("=", 1) for x in a.also)
    name = os.path.basename(a.truth)[:-5]
    truths = {n[:-5]: load(os.path.join(folder, n), a.vectors if n[:-5] == name else also.get(n[:-5])) for n in sorted(os.listdir(folder)) if n.endswith(".json")}
    t, v = truths[name]
    if t["kind"] != a.kind:
        sys.exit("the truth is one of %s, not of %s" % (t["kind"], a.kind))
    framework = None
    if a.kind in ("langchain", "llamaindex", "qdrant"):
        import sqlite_frameworks
        framework = sqlite_frameworks.CHECKS[a.kind]
    with tempfile.TemporaryDirectory(prefix="sqlite_check_") as tmp:
        db = os.path.join(tmp, os.path.basename(a.db.rstrip("/")))
        if os.path.isdir(a.db):
            shutil.copytree(a.db, db)
        else:
            for end in ("", "-wal", "-journal"):
                if os.path.exists(a.db + end):
                    shutil.copyfile(a.db + end, db + end)
            c = common.connect(db)
            c.execute("pragma foreign_keys = on")
            sound(c, errors)
            unchanged(c, json.load(open(os.path.join(folder, "..", "everything.json"))), a.ignore_table, errors)
            for n, (t2, v2) in truths.items():
                rows(c, t2, v2, errors, a.factor)
                if not framework and not errors:
                    search(c, t2, v2, errors)
            if not framework and not errors and not a.no_extend and a.kind != "pickle":
                second = {t2["column"]: v2 for n, (t2, v2) in truths.items() if n != name}
                extend(c, t, v, second, errors)
                sound(c, errors)
            c.close()
        if framework and not errors:
            framework[0](db, t, v, errors)
            if not errors and not a.no_extend:
                framework[1](db, t, v, errors)
    if errors:
        print("\n".join(errors[:20]), file=sys.stderr)
        sys.exit(1)
    print(json.dumps({"ok": True, "kind": a.kind, "records": len(v), "dimensions": int(v.shape[1])}))


if __name__ == "__main__":
    main()
