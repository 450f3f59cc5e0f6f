#!/usr/bin/env python3
"""Makes sample.jsonl, the varied passages that embedport trains on when nobody gives it texts.

    make_sample.py --tldr texts.jsonl --docs texts.jsonl --demo ../demo/chroma \\
        --jargon jargon.dict --wordnet FOLDER --constitution FILE --out sample.jsonl

tldr and docs: one {"id", "text"} a line. jargon.dict: uncompressed, from Debian's dict-jargon.
FOLDER: data.noun, data.verb ... from Debian's wordnet-base. FILE: from Debian's miscfiles, uncompressed.
No text of the demo database is taken, so that the demo can show what a collection's own texts are worth.
"""
import argparse
import collections
import json
import os
import random
import re
import sqlite3

COUNTS = {"tldr": 900, "cpp": 430, "ps": 270, "jargon": 380, "wordnet": 950, "constitution": 70}
SHORTEST, LONGEST = 40, 700
UNWANTED = re.compile(r"\b(sex\w*|fuck\w*|shit\w*|nigg\w*|negro\w*|whore\w*|sluts?|rap(e|es|ed|ist)|genital\w*|penis\w*|"
                      r"vagina\w*|breasts?|nazis?|fags?|bitch\w*|bastards?|damn\w*|hell|gods?|jew\w*|queers?|drunk\w*|"
                      r"cunts?|piss\w*|crap\w*|ass|asshole\w*|sucks?|suicid\w*)\b", re.I)


def rows(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def tidy(text):
    return re.sub(r"\s+", " ", text).strip()


def cut(text):
    """At most LONGEST characters, ending with a sentence."""
    if len(text) <= LONGEST:
        return text
    end = text.rfind(". ", 0, LONGEST)
    return text[:end + 1] if end > 0 else ""


def jargon(path):
    """Entries: a headword at the start of a line, its text indented."""
    with open(path, encoding="utf-8") as f:
        entries = re.split(r"\n(?=\S)", f.read())
    for entry in entries:
        head, _, body = entry.partition("\n")
        body = re.sub(r"[{}]", "", body)
        body = re.sub(r"/[^/\n]{2,40}/,?", "", body)
        text = tidy(body)
        text = re.sub(r"^(n|v|adj|adv|vi|vt|prov|interj|quant|imp|excl|abbrev|pref|suff|obs)\.?,? ", "", text)
        if re.match(r"^[\w'’ -]{2,40}$", head) and not head.startswith("00") and text[:1].isalpha():
            yield "jargon/" + head.strip(), cut("%s: %s" % (head.strip(), text))


def wordnet(folder):
    for part in ("noun", "verb", "adj"):
        with open(os.path.join(folder, "data." + part), encoding="utf-8") as lines:
            for line in lines:
                if line.startswith(" ") or " | " not in line:
                    continue
                left, gloss = line.split(" | ", 1)
                word = re.sub(r"\(.*\)", "", left.split(" ")[4]).replace("_", " ")
                if '"' in gloss or len(gloss) > 90:
                    yield "wordnet/%s/%s" % (part, left[:8]), tidy("%s: %s" % (word, gloss))


def constitution(path):
    with open(path, encoding="utf-8") as f:
        for i, part in enumerate(re.split(r"\n\s*\n", f.read())):
            yield "us-constitution/%d" % i, cut(tidy(part))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tldr", "docs", "demo", "jargon", "wordnet", "constitution", "out"):
        p.add_argument("--" + name, required=True)
    a = p.parse_args()
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(a.demo, "chroma.sqlite3"), uri=True)
    seen = {t for (t,) in db.execute("select string_value from embedding_metadata where key = 'chroma:document'")}
    db.close()

    pools = collections.defaultdict(list)
    for row in rows(a.tldr):
        pools["tldr"].append(("tldr/" + row["id"], tidy(row["text"])))
    for row in rows(a.docs):
        if "://" not in row["text"] and "[0" not in row["text"]:
            pools[row["id"].split("/")[0]].append((row["id"], cut(tidy(row["text"]))))
    pools["jargon"] = list(jargon(a.jargon))
    pools["wordnet"] = list(wordnet(a.wordnet))
    pools["constitution"] = list(constitution(a.constitution))

    rng = random.Random(7)
    chosen = []
    for name, count in COUNTS.items():
        pool = []
        for id_, text in pools[name]:
            if SHORTEST <= len(text) <= LONGEST and text not in seen and not UNWANTED.search(text):
                seen.add(text)
                pool.append({"id": id_, "text": text})
        taken = rng.sample(pool, min(count, len(pool)))
        print("%-14s %5d of %6d usable" % (name, len(taken), len(pool)))
        chosen += taken
    rng.shuffle(chosen)
    with open(a.out, "w", encoding="utf-8", newline="\n") as f:
        for row in chosen:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(len(chosen), "passages", os.path.getsize(a.out), "bytes")


if __name__ == "__main__":
    main()
