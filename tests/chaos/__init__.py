"""Faults injected into the whole product, as in production, and what became of every message: `make chaos`.

rig.py            servers, push services, processes and devices, ready to be hurt
run.py            one case on a rig: orders, waits, what may come twice, what went wrong
transitions.py    every change of a status, noted by the database itself
checks.py         what was found at the end, and the verdict on it
cases/            one file for each fault
"""
