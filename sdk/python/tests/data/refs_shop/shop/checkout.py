"""Paying for a cart."""

from shop.flags import FREE_SHIPPING, NEW_CHECKOUT, client


def total(cart, user):
    """The sum of a cart, with what the checkout adds."""
    is_new = client.boolean("new-checkout", user)
    shipping = 0 if client.boolean(FREE_SHIPPING, user) else 5
    if not is_new:
        # The old checkout rounded each price.
        return sum(round(price) for price in cart) + shipping
    return round(sum(cart), 2) + shipping


def steps(user, is_guest):
    """The pages of the checkout."""
    if is_guest:
        pages = ["address", "pay"]
    elif client.boolean(NEW_CHECKOUT, user):
        pages = ["pay"]
    else:
        pages = ["address", "pay", "confirm"]
    return pages


def title(user):
    """What stands above the page."""
    return "Checkout" if client.boolean("new-checkout", user) else "Your cart"


def note(user, lines):
    """A text of several lines, whose white space is part of it."""
    if client.boolean("new-checkout", user) and lines:
        text = """
        Thank you.
    """
        return text.strip() + str(len(lines))
    return ""
