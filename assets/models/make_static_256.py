"""Makes the bundled model `static-256/` from a model2vec folder.

Usage: make_static_256.py INPUT_FOLDER [OUTPUT_FOLDER]     (needs numpy, safetensors, tokenizers)

INPUT_FOLDER holds model.safetensors (`embeddings`, tokens x dimension, float16), tokenizer.json
and config.json. The output is a model2vec folder of less than LIMIT bytes:

- Every row is int8; its scale is the token's entry in `weights` (least squares: w = <e,q> / <q,q>).
- Tokens that the tokenizer can never produce (`[unusedN]`, special tokens, pieces that its own
  normaliser or pre-tokeniser would change) share one row of zeros through `mapping`.
- As many non-ASCII tokens as the limit demands share the row of the token whose direction is
  nearest to theirs, the nearest pairs first; `weights` keeps their own length. Rows of ASCII
  tokens are never shared, so English text sees only the rounding to int8.
- tokenizer.json is written without white space.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

LIMIT = 8_000_000
RESERVE = 6_000  # README.md, config.json, modules.json, safetensors header


def unreachable(tokenizer, tokens):
    """Ids of tokens that no text is cut into."""
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    found = []
    for index, token in enumerate(tokens):
        word = "a" + token[2:] if token.startswith("##") and len(token) > 2 else token
        cut = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(word))
        if token in special or [piece for piece, _ in cut] != [word]:
            found.append(index)
    return found


def nearest_pairs(directions, movable, stay):
    """(token, nearest token that stays, cosine) for each movable token, most similar first."""
    pairs = []
    targets = directions[stay]
    for index in movable:
        cosine = targets @ directions[index]
        best = int(np.argmax(cosine))
        pairs.append((float(cosine[best]), index, int(stay[best])))
    return sorted(pairs, reverse=True)


def main():
    source = Path(sys.argv[1])
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "static-256"
    target.mkdir(exist_ok=True)

    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    compact = json.dumps(json.loads((source / "tokenizer.json").read_text(encoding="utf-8")),
                         ensure_ascii=False, separators=(",", ":")).encode()
    rows = load_file(source / "model.safetensors")["embeddings"].astype(np.float32)
    count, dimension = rows.shape
    assert len(tokens) == count, "one row per token is wanted"

    room = LIMIT - RESERVE - len(compact) - count * 4 - count * 4
    kept_rows = room // dimension
    zero = set(unreachable(tokenizer, tokens)) | set(np.flatnonzero(~rows.any(axis=1)).tolist())
    alive = np.array([i for i in range(count) if i not in zero])
    excess = max(0, len(alive) + 1 - kept_rows)

    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    directions = rows / np.maximum(norms, 1e-12)
    ascii_tokens = np.array([i for i in alive if tokens[i].isascii()])
    other = [int(i) for i in alive if not tokens[i].isascii()]
    # Movable tokens look for a row among the ASCII tokens and the non-ASCII tokens that stay;
    # to know who stays, first rank by the nearest of all, then fold onto survivors only.
    ranking = []
    for index in other:
        cosine = directions[alive] @ directions[index]
        cosine[np.searchsorted(alive, index)] = -1
        ranking.append((float(cosine.max()), index))
    moved = sorted(index for _, index in sorted(ranking, reverse=True)[:excess])
    assert len(moved) == excess, "not enough non-ASCII tokens to fold"
    stay = np.array(sorted(set(alive.tolist()) - set(moved)))
    pairs = nearest_pairs(directions, moved, stay)

    row_of = {int(token): row + 1 for row, token in enumerate(stay)}
    scale = np.abs(rows[stay]).max(axis=1) / 127
    quantised = np.zeros((len(stay) + 1, dimension), dtype=np.int8)
    quantised[1:] = np.round(rows[stay] / scale[:, None]).astype(np.int8)

    mapping = np.zeros(count, dtype=np.int32)
    for token, row in row_of.items():
        mapping[token] = row
    for _, token, onto in pairs:
        mapping[token] = row_of[onto]
    q = quantised[mapping].astype(np.float32)
    weights = (rows * q).sum(axis=1) / np.maximum((q * q).sum(axis=1), 1)

    save_file({"embeddings": quantised, "mapping": mapping, "weights": weights.astype(np.float32)},
              target / "model.safetensors")
    (target / "tokenizer.json").write_bytes(compact)
    config = json.loads((source / "config.json").read_text())
    config.pop("seq_length", None)
    config |= {"max_length": 512, "embedding_dtype": "int8", "vocabulary_quantization": len(quantised)}
    (target / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (target / "modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"},
        {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"},
    ], indent=1) + "\n")

    size = sum(f.stat().st_size for f in target.iterdir())
    assert size <= LIMIT, f"{size} bytes are more than {LIMIT}"
    print(f"{len(quantised)} rows, {len(zero)} tokens without a vector, {len(moved)} folded "
          f"(cosine to their row {pairs[-1][0]:.3f} to {pairs[0][0]:.3f}), {size} bytes")


if __name__ == "__main__":
    main()
