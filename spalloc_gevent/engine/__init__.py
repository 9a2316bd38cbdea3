"""Greenlets, sockets and the one background hub: the only room that knows them."""
