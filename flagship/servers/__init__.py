"""The servers that FlagShip works on: how it reaches them, and what it does when they hang, vanish or end."""
