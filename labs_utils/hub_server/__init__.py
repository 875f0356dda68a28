"""The Hub server: a small server that speaks the Hub's HTTP API, so that "now log in and push" works offline.

One folder holds its state. The modules, from the disk outwards: `blobs` (content by sha256), `database` (everything
else), `store` (both), `names` and `limits` (what may be asked for), `errors`, `auth`, `repos`, `gates` (who may read
what is gated), `history`, `merging` (of lines), `discussions`, `cards` and `card_rules`, `ignoring` (what a .gitignore
says; all of this without HTTP), `calls` (one request), `api/` (the routes), `pages` (for a browser), `app` (all of it
together), `server` (processes), `roster` (who may use one that serves a class), `commands` (`labs hub`), `notebook`
(`lab.hub()`).
"""
