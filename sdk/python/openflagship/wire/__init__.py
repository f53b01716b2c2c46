"""The wire format that server, stream process and edge share: routes, bodies, answers, errors and headers.

`routes`, `limits` and `credentials` need the standard library alone; what reads and writes JSON needs orjson.
"""
