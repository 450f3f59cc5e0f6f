"""What make_sqlite.py and check_sqlite.py share: vectors and texts out of a seed, the encodings of a vector in one value,
exact search, and a fingerprint of everything in a file that is not a vector.

A truth is NAME.json beside NAME.npy: which table and column hold which vectors, and every other value beside them.
"""
import hashlib, io, json, re, sqlite3
import numpy as np

WORDS = ("amber basin cedar delta ember fjord grove harbor island juniper kernel lagoon meadow "
         "nebula orchid prairie quartz river saffron tundra umbra valley willow xenon yonder zephyr").split()
ODD_IDS = ["\N{GRINNING FACE} \N{FAMILY}\N{ZERO WIDTH JOINER}\N{DOG FACE}", "e\u0301 is not \u00e9", "\u00e9", " blank ", "quote'\"`;--",
           "line\nbreak\r\ttab", "\u202eright to left", "\U0010ffff", "%_like_%", "", "x" * 300, "123", "NULL"]
ODD_TEXTS = [None, "", "\u00dcn\u00efc\u00f6d\u00e9 \N{SNOWMAN} amber", "it's \"quoted\"; -- not a comment", "\u0000 begins with nothing", "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0", "long " * 3000]
OWN_TABLE = "embedport_spaces"          # the one table that embedport may add


def unit(n, dim, seed, clusters=20):
    """Deterministic, mildly clustered float32 vectors of length 1."""
    r = np.random.RandomState(seed)
    c = r.randn(clusters, dim)
    v = c[r.randint(0, clusters, n)] + 0.7 * r.randn(n, dim)
    return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)


def text_id(i):
    return ODD_IDS[i] if i < len(ODD_IDS) else "note-%05d" % i


def body(i, null=True):
    if i < len(ODD_TEXTS):
        return ODD_TEXTS[i] if null or ODD_TEXTS[i] is not None else "none"
    r = np.random.RandomState(i)
    return "record %d: %s" % (i, " ".join(WORDS[x] for x in r.randint(0, len(WORDS), 8)))


def quote(name):
    return '"' + name.replace('"', '""') + '"'


def connect(path, extension=True):
    c = sqlite3.connect(path)
    c.text_factory = lambda b: b.decode("utf-8", "surrogateescape")
    if extension:
        import sqlite_vec
        c.enable_load_extension(True)
        sqlite_vec.load(c)
        c.enable_load_extension(False)
    return c


def encode(encoding, v):
    """The value of the vector column, and the scale where there is one."""
    v = np.asarray(v)
    if encoding == "f32":
        return v.astype("<f4").tobytes(), None
    if encoding == "f64":
        return v.astype("<f8").tobytes(), None
    if encoding == "f16":
        return v.astype("<f2").tobytes(), None
    if encoding == "json":
        return json.dumps([float(x) for x in v]), None
    if encoding == "npy":
        f = io.BytesIO()
        np.save(f, v.astype(np.float32))
        return f.getvalue(), None
    if encoding == "int8":
        scale = float(np.abs(v).max()) / 127 or 1.0
        return np.rint(v / scale).astype(np.int8).tobytes(), scale
    if encoding == "vec_int8":
        if not np.array_equal(v, np.rint(v)):       # as the extension's vec_quantize_int8(v, 'unit')
            v = np.clip(np.trunc((v.astype(np.float64) + 1) / np.float32(2 / 255) - 128), -128, 127)
        return v.astype(np.int8).tobytes(), None
    if encoding == "vec_bit":
        return np.packbits(v > 0, bitorder="little").tobytes(), None
    raise SystemExit("no encoding " + encoding)


def decode(encoding, value, scale=None):
    """The float32 vector of a value; a vec_bit is a vector of 0 and 1."""
    if encoding == "json":
        return np.array(json.loads(value), np.float32)
    if encoding == "npy":
        return np.load(io.BytesIO(value), allow_pickle=False).astype(np.float32)
    if encoding == "int8":
        return np.frombuffer(value, np.int8).astype(np.float32) * np.float32(scale)
    if encoding == "vec_bit":
        return np.unpackbits(np.frombuffer(value, np.uint8), bitorder="little").astype(np.float32)
    kind = {"f32": "<f4", "f64": "<f8", "f16": "<f2", "vec_int8": np.int8}[encoding]
    return np.frombuffer(value, kind).astype(np.float32)


def representable(encoding, v):
    """The vectors that are left of `v` once they are stored."""
    return np.stack([decode(encoding, *encode(encoding, x)) for x in v]) if len(v) else v


def tolerance(encoding, v):
    """Largest difference per component that the encoding may leave."""
    top = float(np.abs(v).max()) if v.size else 1.0
    return {"f32": 1e-5 * top, "f64": 1e-5 * top, "npy": 1e-5 * top, "json": 1e-5 * top, "f16": 1e-3 * top,
            "int8": 1.01 * top / 127, "vec_int8": 1.0, "vec_bit": 0.0}[encoding]


def distances(metric, q, v):
    q, v = q.astype(np.float64), v.astype(np.float64)
    if metric == "l2":
        return np.sqrt(((v - q) ** 2).sum(1))
    if metric in ("l1", "hamming"):
        return np.abs(v - q).sum(1)
    return 1 - v @ q / (np.linalg.norm(v, axis=1) * np.linalg.norm(q))


def plain(value):
    return {"blob": value.hex()} if isinstance(value, bytes) else value


def tables(c):
    """(name, sql, is it virtual) of the tables that a person made: shadow tables are left out."""
    rows = c.execute("select name, sql from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'").fetchall()
    found = [(n, s, bool(re.match(r"create\s+virtual", s or "", re.I))) for n, s in rows if n != OWN_TABLE]
    roots = [n for n, _, virtual in found if virtual]
    shadow = r"_(info|chunks|rowids|auxiliary|(vector_chunks|metadatachunks|metadatatext)\d\d|data|idx|content|docsize|config)"
    return [t for t in found if t[2] or not any(re.fullmatch(re.escape(r) + shadow, t[0]) for r in roots)]


def fingerprint(c, vectors):
    """A digest per table over all values that are not vectors, the schema and the settings kept in the file.

    `vectors` is a set of (table, column): the vectors themselves, and columns that follow from them.
    """
    out = {"tables": {}, "schema": {}, "settings": {}}
    for name, sql, virtual in tables(c):
        columns = [r[1] for r in c.execute("pragma table_xinfo(%s)" % quote(name)) if r[6] != 1 and (name, r[1]) not in vectors]
        keys = [r[1] for r in c.execute("pragma table_xinfo(%s)" % quote(name)) if r[5]]
        where = "rowid"
        try:
            c.execute("select rowid from %s limit 1" % quote(name)).fetchone()
        except sqlite3.OperationalError:
            where = ", ".join(map(quote, keys))
        digest, count = hashlib.sha256(), 0
        chosen = ", ".join(["rowid"] * (where == "rowid") + list(map(quote, columns)))
        for row in c.execute("select %s from %s order by %s" % (chosen, quote(name), where)):
            digest.update(repr(row).encode("utf-8", "surrogatepass"))
            count += 1
        out["tables"][name] = [count, columns, digest.hexdigest()]
    for kind, name, sql in c.execute("select type, name, sql from sqlite_master where tbl_name <> ?", (OWN_TABLE,)):
        if sql and (kind != "table" or name in out["tables"]):
            vec0 = re.match(r"create\s+virtual\s+table.*using\s+\W?vec0", sql, re.I | re.S)
            # A vec0 table is made anew with other numbers; all else of its text is its maker's.
            out["schema"][kind + " " + name] = re.sub(r"\s+", "", re.sub(r"\[\s*\d+\s*\]", "[]", sql)) if vec0 else sql
    for name in ("page_size", "encoding", "user_version", "application_id", "auto_vacuum", "journal_mode"):
        out["settings"][name] = c.execute("pragma " + name).fetchone()[0]
    return json.loads(json.dumps(out))
