"""The server's port: free, one stack's alone, and kept while the server is dead."""

import socket

import pytest

from deployments.ports import reserved_port


def test_a_taken_port_gives_way_to_a_free_one() -> None:
    """Another Prefect server may have the usual port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        with reserved_port(port) as other:
            assert other != port
        with reserved_port(port, is_ours=True) as adopted:
            assert adopted == port


def test_two_stacks_that_start_at_once_do_not_choose_the_same_port() -> None:
    """Neither listens yet; one's worker would provision and serve the other's server."""
    with reserved_port(0) as one, reserved_port(one) as two:
        assert one != two
    with reserved_port(one) as again:
        assert again == one


def test_a_reserved_port_is_kept_for_our_server_while_it_is_dead() -> None:
    """Its clients would otherwise find another stack's server there, and work for it with the wrong database."""
    with reserved_port(0) as port:
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)) as server:
                assert server.getsockname()[1] == port
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
