"""The keys of the shop's flags, and a client that answers without a server."""

NEW_CHECKOUT = "new-checkout"
FREE_SHIPPING = "free-shipping"


class Client:
    """What the shop uses of the SDK."""

    def __init__(self, **answers):
        self.answers = answers

    def boolean(self, key, user, default=False):
        return self.answers.get(key.replace("-", "_"), default)


client = Client(new_checkout=True, free_shipping=False)
