#!/usr/bin/env python3
"""Runs the programs beside it one after another, each in a process forked from this one: what takes
seconds to import is imported once, and no program sees what another left in memory.

Reads one JSON document per line, [PROGRAM, ARGUMENT...]; answers each with one: [EXIT STATUS, OUTPUT, ERRORS].
"""
import importlib.util, json, os, runpy, sys, tempfile, traceback, warnings
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
warnings.simplefilter("ignore")
# The seconds that are to be spent once; each environment has some of them. LlamaIndex takes more of them than the few
# programs that need it.
for module in ("numpy", "chromadb", "sqlite_vec", "langchain_community.vectorstores.sqlitevec", "qdrant_client"):
    if importlib.util.find_spec(module.split(".")[0]):
        importlib.import_module(module)


def run(program, arguments, out, err):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    sys.argv = [program] + arguments
    status = 0
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as e:
        if e.code is not None and not isinstance(e.code, int):
            print(e.code, file=sys.stderr)
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


here = os.path.dirname(os.path.abspath(__file__))
for line in sys.stdin:
    program, *arguments = json.loads(line)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            run(os.path.join(here, program), arguments, out, err)
        status = os.waitpid(child, 0)[1]
        out.seek(0), err.seek(0)
        text = [f.read().decode("utf-8", "replace") for f in (out, err)]
    print(json.dumps([status] + text), flush=True)
