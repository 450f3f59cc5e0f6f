"""Makes tests/fixtures/parity: texts of three lengths and reference vectors for tests/parity.rs.

Usage: make_parity.py TLDR_JSONL DOCS_JSONL MINILM_FOLDER STATIC_FOLDER
(needs numpy, safetensors, tokenizers, torch, sentence-transformers)

TLDR_JSONL and DOCS_JSONL hold {"id", "text"} per line. MINILM_FOLDER and MINILM_FOLDER-3-layers come
from fetch_minilm.sh. STATIC_FOLDER is the model2vec folder that make_static_256.py cut.

Transformer vectors are those of sentence-transformers; static vectors are the formula in numpy, written
without either library: mean over the tokens of row * weight, divided by its length.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "fixtures" / "parity"


def texts_of_three_lengths(tldr, docs, tokenizer):
    """100 short (up to 24 tokens), 100 middle (up to 256), 100 long (300 to 512) texts."""
    length = lambda text: len(tokenizer.encode(text).ids)
    rng = np.random.default_rng(256)
    docs = [d for d in docs if d["id"].startswith(("ps/", "cpp/"))]
    short, middle, long = [], [], []
    for record in rng.permutation(tldr):
        first = record["text"].split(". ")[0]
        if 10 <= length(first) <= 24 and len(short) < 100:
            short.append({"id": f"short:{record['id']}", "text": first})
        elif 40 <= length(record["text"]) <= 250 and len(middle) < 50:
            middle.append({"id": f"middle:{record['id']}", "text": record["text"]})
    order = rng.permutation(len(docs))
    for i in order:
        if 60 <= length(docs[i]["text"]) <= 250 and len(middle) < 100:
            middle.append({"id": f"middle:{docs[i]['id']}", "text": docs[i]["text"]})
    joined, names = "", []
    for i in order[::-1]:
        joined, names = f"{joined} {docs[i]['text']}".strip(), names + [docs[i]["id"]]
        if length(joined) >= 300:
            if length(joined) <= 512 and len(long) < 100:
                long.append({"id": f"long:{'+'.join(names)}", "text": joined})
            joined, names = "", []
    assert len(short) == len(middle) == len(long) == 100
    return short + middle + long


def static_by_formula(folder, texts):
    tensors = load_file(folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    unknown = tokenizer.token_to_id("[UNK]")
    rows = tensors["embeddings"].astype(np.float64)
    mapping = tensors.get("mapping", np.arange(len(rows)))
    weights = tensors.get("weights", np.ones(len(mapping))).astype(np.float64)
    vectors = []
    for text in texts:
        ids = [i for i in tokenizer.encode(text, add_special_tokens=False).ids[:512] if i != unknown]
        mean = (rows[mapping[ids]] * weights[ids][:, None]).mean(axis=0)
        vectors.append(mean / np.linalg.norm(mean))
    return np.array(vectors)


def main():
    read = lambda path: [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    tldr, docs, minilm, static = read(sys.argv[1]), read(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    OUT.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(static / "tokenizer.json"))
    tokenizer.no_truncation()
    records = texts_of_three_lengths(tldr, docs, tokenizer)
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
    (OUT / "texts.jsonl").write_text(lines, encoding="utf-8")
    texts = [r["text"] for r in records]

    from sentence_transformers import SentenceTransformer

    for name, folder in [("minilm", minilm), ("minilm-3-layers", minilm.with_name(minilm.name + "-3-layers"))]:
        model = SentenceTransformer(str(folder), device="cpu")
        assert model.max_seq_length == 256
        np.save(OUT / f"{name}.npy", model.encode(texts, batch_size=8).astype(np.float16))
    bundled = ROOT / "assets" / "models" / "static-256"
    np.save(OUT / "static-256.npy", static_by_formula(bundled, texts).astype(np.float16))
    cut, whole = static_by_formula(bundled, texts), static_by_formula(static, texts)
    print("bundled to original: minimum cosine", (cut * whole).sum(axis=1).min())


if __name__ == "__main__":
    main()
