"""What judges share: a long-lived process for tests/crash.

Reads one JSON object a line from standard input and answers with one:
  {"learn": "source", "folder": F}   -> {"learned": "source", "records": n}
  {"judge": F}                       -> {"is": "source"}, the learned state that F is equal to, or
                                        {"is": "neither", "why": ...}
Every folder is copied to a fresh path first and opened there.
"""
import json, os, sys, traceback


def serve(state, difference, count):
    """state(folder, copy) finds what a folder holds; difference(a, b) says how two of these differ, or None."""
    scratch, learned = sys.argv[1], {}
    for number, line in enumerate(sys.stdin, 1):
        order = json.loads(line)
        try:
            copy = os.path.join(scratch, "judged-%d-%d" % (os.getpid(), number))
            found = state(order.get("folder") or order["judge"], copy)
            if "learn" in order:
                learned[order["learn"]] = found
                answer = {"learned": order["learn"], "records": count(found)}
            else:
                why = {name: difference(known, found) for name, known in learned.items()}
                same = [name for name in why if why[name] is None]
                answer = {"is": same[0]} if same else {"is": "neither", "why": "; ".join("not %s: %s" % x for x in why.items())}
        except BaseException as e:
            answer = {"is": "neither", "why": "%s: %s" % (type(e).__name__, str(e)[:400])}
            traceback.print_exc()
        print(json.dumps(answer), flush=True)
    sys.stdout.flush()
    os._exit(0)
