#!/usr/bin/env python3
"""A program that has a SQLite file open: runs each line of its input as SQL and answers with one line of JSON.

  statements.py DB          `again` closes the file and opens it once more
"""
import json, sqlite3, sys


def opened():
    return sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)


connection = opened()
for line in sys.stdin:
    try:
        if line.strip() == "again":
            connection.close()
            connection = opened()
            answer = []
        else:
            answer = connection.execute(line).fetchall()
    except sqlite3.Error as e:
        answer = str(e)
    print(json.dumps(answer), flush=True)
