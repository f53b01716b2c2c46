"""Ports are chosen before anything starts: a default moves on, an explicit one is an error that helps."""

import os
import socket

import pytest

from flagship.runner.ports import PortError, choose_port

HOST = "127.0.0.1"


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def free_port():
    """Nobody listens there, and nobody else is given it meanwhile."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        yield holder.getsockname()[1]


def test_choose_port__free__is_the_one_wanted(free_port):
    assert choose_port(HOST, free_port, option="--port", is_explicit=True) == free_port


def test_choose_port__default_taken__moves_to_a_later_free_one(taken_port):
    chosen = choose_port(HOST, taken_port, option="--port", is_explicit=False)
    assert chosen > taken_port
    with socket.socket() as listener:
        listener.bind((HOST, chosen))


def test_choose_port__explicit_and_taken__names_the_holder_and_the_option(taken_port):
    with pytest.raises(PortError, match=rf"Port {taken_port} on {HOST} is taken.*choose another with --port") as caught:
        choose_port(HOST, taken_port, option="--port", is_explicit=True)
    assert f"pid {os.getpid()}" in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_choose_port__address_of_no_interface_here__is_not_said_to_be_taken(free_port, host):
    with pytest.raises(PortError, match=host) as caught:
        choose_port(host, free_port, option="--port", is_explicit=True)
    assert "taken" not in str(caught.value)


def test_choose_port__explicit_and_promised_to_another_process__says_so(free_port):
    with pytest.raises(PortError, match=r"another process of this run already\. Choose another with --stream-port"):
        choose_port(HOST, free_port, option="--stream-port", is_explicit=True, taken=frozenset({free_port}))


def test_choose_port__free_but_promised_to_another_process__is_passed_over(free_port):
    assert choose_port(HOST, free_port, option="--port", is_explicit=False, taken=frozenset({free_port})) != free_port


@pytest.mark.parametrize("port", [0, 65_536, -1])
def test_choose_port__out_of_range__is_refused(port):
    with pytest.raises(PortError, match="between 1 and 65535"):
        choose_port(HOST, port, option="--port", is_explicit=True)
