"""The proxy in front of a class's servers: `configurable-http-proxy`, with limits that suit a class.

As it comes, it passes on ten requests at a time, and waits 20 seconds for an answer. When thirty students log in at
once, their pages' progress bars would hold all ten, and everybody would wait for them.

What can't be set: one message of a kernel, such as a figure, may have 10 MB, and the connection is not encrypted. Where
that is too little, put JupyterHub's own proxy (npm's package of the same name) into the configuration.
"""

import logging

from configurable_http_proxy import cli
from tornado.httpclient import AsyncHTTPClient

AT_ONCE = 1000  # requests; websockets aren't counted
PATIENCE = 600.0  # seconds: a large notebook over a slow line, a server that starts on a busy machine
LARGEST = 500 * 2**20  # bytes of an answer, such as a file that is downloaded


def main() -> None:
    """Run the proxy until it is told to stop; its arguments and its token come from JupyterHub."""
    defaults = {"request_timeout": PATIENCE}
    AsyncHTTPClient.configure(None, max_clients=AT_ONCE, max_buffer_size=LARGEST, defaults=defaults)
    logging.disable(logging.WARNING)  # it would write a line into the terminal for each route and request
    cli.main()


if __name__ == "__main__":
    main()
