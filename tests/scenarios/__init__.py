"""Verdicts compared with what was really done to the product: `make scenarios`.

stage.py       the whole product on this machine, its devices' troubles, and orders
scenes.py      each known cause: what is done, to whom, and what that should be called
clocks.py      tills whose clocks are off: everything is delivered, and their sites' latency stays true
confusion.py   pure: verdicts against causes
test_*.py      the same comparison in short, inside one process
"""
