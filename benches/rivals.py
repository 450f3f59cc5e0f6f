"""Fits of other programs to the same pairs, for retrieval.py: what `--rivals` names.

    prior-art                        the usual torch recipe, see prior_art.py
    isotrieve/ridge                  what `isotrieve calibrate` fits
    isotrieve/{procrustes,procrustes-diag,low-rank,mlp}
    rebasis/procrustes_centered      what `rebasis` takes where scores are equal
    rebasis/{procrustes,linear,low_rank_affine,procrustes_centered+dsm,residual_mlp}

Both are packages of these names (isotrieve 0.4.0, rebasis 0.1.0; mlp and prior-art need torch as well). rebasis asks for
Python 3.12: on an older one its maps are loaded without the rest of the package, which only writes logs about them.
isotrieve's contrastive map is not here: of vectors this long it fits ridge with a fixed penalty and says so.
"""

import importlib
import importlib.util
import sys
import time
import types

import numpy as np

import prior_art


def isotrieve(name):
    mapping = importlib.import_module("isotrieve.mapping")
    kinds = {
        "ridge": "RidgeMapping",
        "procrustes": "OrthogonalProcrustesMapping",
        "procrustes-diag": "ProcrustesDiagMapping",
        "low-rank": "LowRankAffineMapping",
        "mlp": "ResidualMLPMapping",
    }
    return getattr(mapping, kinds[name])()


def rebasis():
    """`rebasis.core.selection`; its syntax is that of Python 3.12 only outside the maps."""
    if sys.version_info < (3, 12) and "rebasis" not in sys.modules:
        folders = importlib.util.find_spec("rebasis").submodule_search_locations
        for name, below in (("rebasis", ""), ("rebasis.core", "/core")):
            package = types.ModuleType(name)
            package.__path__ = [folder + below for folder in folders]
            sys.modules[name] = package
        log = types.ModuleType("rebasis.observability")
        log.Events = types.SimpleNamespace(FIT_ADAPTER_FITTED="", FIT_ADAPTER_SELECTED="")
        log.get_logger = lambda _: types.SimpleNamespace(info=lambda *_, **__: None)
        sys.modules[log.__name__] = log
    return importlib.import_module("rebasis.core.selection")


def fit(name, x, y, seed):
    """The fitted map as a function of rows."""
    program, _, kind = name.partition("/")
    if program == "prior-art":
        return prior_art.prior_art(x, y, x[:64], y[:64], seed)["prior art"]
    if program == "isotrieve":
        return isotrieve(kind).fit(x, y).transform
    if program == "rebasis":
        # It maps vectors of length 1; "src" are those that the map takes.
        (candidate,) = rebasis().fit_candidates(x, y, methods=[kind], skip_unavailable=False)
        return lambda rows: candidate.adapter.apply(prior_art.unit(rows).astype(np.float32))
    raise SystemExit("no such rival: " + name)


def run(name, x, y, rows, seed):
    """Mapped rows, seconds to fit and to apply."""
    start = time.perf_counter()
    apply = fit(name, x, y, seed)
    fitted = time.perf_counter()
    out = np.asarray(apply(rows), dtype=np.float32)
    return out, fitted - start, time.perf_counter() - fitted
