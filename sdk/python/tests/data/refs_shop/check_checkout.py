"""The shop's own tests: true of the new checkout, with the flag and without it."""

from shop import checkout

assert checkout.total([1.4, 2.4], "u") == 8.8
assert checkout.steps("u", is_guest=False) == ["pay"]
assert checkout.steps("u", is_guest=True) == ["address", "pay"]
assert checkout.title("u") == "Checkout"
assert checkout.note("u", ["a"]) == "Thank you.1"
assert checkout.note("u", []) == ""
